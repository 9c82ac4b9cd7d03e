"""Addresses."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import path
from django.views.generic import RedirectView

from philately.pages import (
    accounts,
    batches,
    candidates,
    dry_runs,
    home,
    keys,
    probes,
    seasons,
    second_factor,
    tus,
    uploads,
    withdrawals,
)

urlpatterns = [
    path("", home.home, name="home"),
    path("healthz", probes.healthz, name="healthz"),
    path("readyz", probes.readyz, name="readyz"),
    path("metrics", probes.metrics, name="metrics"),
    path("accounts/signup/", accounts.signup, name="signup"),
    path("accounts/login/", accounts.SignIn.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("accounts/password/", accounts.ChangePassword.as_view(), name="password"),
    path("accounts/second-factor/", second_factor.second_factor_page, name="second-factor"),
    path("accounts/second-factor/enrol/", second_factor.enrol, name="second-factor-enrol"),
    path("accounts/second-factor/recovery/", second_factor.recovery_codes, name="second-factor-recovery"),
    path("accounts/keys/", keys.keys, name="keys"),
    path("accounts/keys/<int:pk>/revoke/", keys.revoke, name="key-revoke"),
    path("seasons/<slug:slug>/", seasons.season, name="season"),
    path("seasons/<slug:slug>/upload/", uploads.upload, name="upload"),
    path("seasons/<slug:slug>/uploads/", tus.uploads, name="tus-uploads"),
    path("uploads/<slug:token>", tus.upload, name="tus-upload"),
    path("seasons/<slug:slug>/leaderboard/", seasons.leaderboard, name="leaderboard"),
    path("seasons/<slug:slug>/stable/", seasons.stable, name="stable"),
    path("seasons/<slug:slug>/dump/<str:name>", seasons.dump_file, name="dump-file"),
    path("batches/", batches.batches, name="batches"),
    path("batches/<int:pk>/", batches.batch, name="batch"),
    path("batches/<int:pk>/live/", batches.batch_live, name="batch-live"),
    path("batches/<int:pk>/table.csv", batches.batch_csv, name="batch-csv"),
    path("batches/<int:pk>/withdraw/", withdrawals.withdraw_batch, name="batch-withdraw"),
    path("dry-runs/<int:pk>/", dry_runs.dry_run, name="dry-run"),
    path("dry-runs/<int:pk>/live/", dry_runs.dry_run_live, name="dry-run-live"),
    path("dry-runs/<int:pk>/table.csv", dry_runs.dry_run_csv, name="dry-run-csv"),
    path("dry-runs/<int:pk>/submit/", dry_runs.submit, name="dry-run-submit"),
    path("candidates/<int:pk>/", candidates.candidate, name="candidate"),
    path("candidates/<int:pk>/withdraw/", withdrawals.withdraw_candidate, name="candidate-withdraw"),
    path("admin/login/", accounts.admin_login, name="admin-login"),
    path("admin/password_change/", RedirectView.as_view(pattern_name="password"), name="admin-password"),
    path("admin/", admin.site.urls),
]
