"""Administration for staff. Facts and evaluations can be looked at only; whatever changes them is a deed of its own."""

from django.contrib import admin
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from philately.admin import people, runs, scales, seasons, uploads, workers

__all__ = ["people", "runs", "scales", "seasons", "uploads", "workers"]  # each registers its own

for otp_model in (TOTPDevice, StaticDevice):  # their pages show secrets; second factors are reset by a command
    admin.site.unregister(otp_model)
admin.site.site_header = admin.site.site_title = "Administration"
