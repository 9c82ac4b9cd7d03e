"""A participant with a browser: a page that is watched, and what a person does on it."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PASSWORD = "a-long-enough-one"
PATIENCE_MS = 15_000
SCREENS = [  # widths in pixels, and colours
    (390, "dark"),
    (1280, "light"),
    pytest.param(390, "light", marks=pytest.mark.slow),
    pytest.param(1280, "dark", marks=pytest.mark.slow),
]


class Watched:
    """A page, what it said on its console and which addresses it asked for."""

    def __init__(self, browser: Browser, **context) -> None:
        self.context = browser.new_context(**context)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _heard(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


def sign_up(page: Page, address: str, name: str = "ann") -> None:
    page.goto(f"{address}/")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Sign up").click()
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password confirmation").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def fill_upload(page: Page, file: Path) -> None:
    page.get_by_label("File").set_input_files(file)
    page.get_by_label("Method", exact=True).fill("substitution")
    page.get_by_label("I may publish these structures").check()
    page.get_by_role("button", name="Upload").click()
