"""Staff with a browser: the second factor is set up, and Django's administration works under the strict policy."""

import base64
import re
import time

import pytest
from django_otp.oath import TOTP
from playwright.sync_api import expect
from visiting import PASSWORD, PATIENCE_MS, Watched

from philately.models import User

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def code_for(secret: str) -> str:
    """What an authenticator shows that was given this secret, in Base32, on the page."""
    totp = TOTP(base64.b32decode("".join(secret.split())))
    totp.time = time.time()
    return f"{totp.token():06d}"


def test_staff_set_up_an_authenticator_and_then_administer(live_server, season, watched: Watched, settings):
    settings.STAFF_SECOND_FACTOR = True
    User.objects.create_user("root", password=PASSWORD, is_staff=True, is_superuser=True)
    page = watched.page
    page.goto(f"{live_server.url}/admin/")
    page.get_by_label("Username").fill("root")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()

    expect(page.get_by_role("heading", name="Set up the second factor")).to_be_visible(timeout=PATIENCE_MS)
    box = page.get_by_role("img", name="QR code").locator("svg").bounding_box()
    assert box is not None and box["width"] == box["height"] > 200
    page.get_by_role("textbox", name="Code").fill(code_for(page.locator("#secret").inner_text()))
    page.get_by_role("button", name="Confirm").click()
    codes = page.locator("#recovery-codes code")
    expect(codes).to_have_count(10)
    assert re.fullmatch(r"([a-z2-7]{4}-){3}[a-z2-7]{4}", codes.first.inner_text())

    page.get_by_role("link", name="I have kept them").click()
    page.get_by_role("link", name="Administration").click()
    page.get_by_role("link", name="Seasons", exact=True).click()
    page.get_by_role("link", name=season.slug).click()
    expect(page.get_by_label("Name:")).to_have_value("Practice season")
    page.locator("#id_closes_at_0").click()
    page.get_by_role("link", name="Today").last.click()  # a script of the administration's
    assert page.locator("#id_closes_at_0").input_value() != ""
    assert watched.complaints == []
