import os
import shutil

import pytest
from playwright.sync_api import sync_playwright
from visiting import FLAGS, Watched


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium. Playwright runs an event loop in this thread, where Django would refuse the database."""
    chromium = shutil.which("chromium")
    if chromium is None:
        told = "chromium is missing: apt-get install chromium"
        pytest.fail(told) if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip(told)
    with pytest.MonkeyPatch.context() as environment, sync_playwright() as playwright:
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def watched(browser):
    visit = Watched(browser)
    yield visit
    visit.context.close()
