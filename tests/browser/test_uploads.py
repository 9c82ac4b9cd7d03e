"""Uploads in a browser: sent in parts, cut off in the middle, resumed, refused, tried in a dry run."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from driving import cif, first_texts, ordered_alloy, zipped
from playwright.sync_api import Page, Request, expect
from visiting import PATIENCE_MS, SCREENS, Watched, fill_upload, sign_up
from web_server import WebServer, web_server

from philately.domain.dry_reading import carry_out
from philately.models import Batch, DryRun, ResumableUpload, Season

pytestmark = pytest.mark.browser
MB = 1_000_000


@pytest.fixture
def large(tmp_path) -> Path:
    """20 MB that do not shrink."""
    file = tmp_path / "large.zip"
    file.write_bytes(random.Random(1).randbytes(20 * MB))
    return file


def slow(page: Page, bytes_per_s: int) -> Callable[[], None]:
    """Let the page send so many bytes a second; what comes back lets it send as fast as it can."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_s}
    session.send("Network.emulateNetworkConditions", conditions)
    fast = {**conditions, "uploadThroughput": -1}
    return lambda: session.send("Network.emulateNetworkConditions", fast)


def wait_until_sent(page: Page, percent: int) -> None:
    page.wait_for_function(
        "least => Number.parseInt(document.getElementById('figures').textContent) >= least", arg=percent
    )


def parts_of(watched: Watched) -> list[int]:
    """Grows by the offset of each part that the page sends."""
    offsets: list[int] = []

    def heard(request: Request) -> None:
        if request.method == "PATCH":
            offsets.append(int(request.headers["upload-offset"]))

    watched.page.on("request", heard)
    return offsets


class TestOnARealServer:
    @pytest.fixture(scope="class")
    def server(self, tmp_path_factory):
        with web_server(tmp_path_factory.mktemp("server")) as running:
            yield running

    def test_a_server_that_is_killed_and_comes_back_costs_no_more_than_a_wait(self, server: WebServer, watched, large):
        page, offsets = watched.page, parts_of(watched)
        sign_up(page, server.address)
        page.goto(f"{server.address}/seasons/alloys/upload/")
        fast = slow(page, 5 * MB)
        fill_upload(page, large)
        wait_until_sent(page, 50)

        server.kill()
        expect(page.get_by_text("The connection is lost")).to_be_visible()
        server.start()
        fast()

        page.wait_for_url(re.compile(r"/batches/\d+/$"), timeout=60_000)
        expect(page.get_by_role("heading", name="large.zip")).to_be_visible()
        assert offsets == sorted(offsets)
        assert offsets.count(0) == 1

    def test_after_a_reload_the_same_file_goes_on_where_it_broke_off(self, server: WebServer, watched, large):
        page, offsets = watched.page, parts_of(watched)
        sign_up(page, server.address, "bob")
        page.goto(f"{server.address}/seasons/alloys/upload/")
        slow(page, 5 * MB)
        fill_upload(page, large)
        wait_until_sent(page, 60)
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_text("Paused")).to_be_visible()

        page.reload()
        expect(page.get_by_text("The upload of large.zip broke off")).to_be_visible()
        expect(page.get_by_label("Method", exact=True)).to_have_value("substitution")
        offsets.clear()
        page.get_by_label("File").set_input_files(large)
        page.get_by_role("button", name="Upload").click()

        page.wait_for_url(re.compile(r"/batches/\d+/$"), timeout=60_000)
        assert offsets[0] >= 8 << 20
        page.goto(f"{server.address}/seasons/alloys/upload/")
        expect(page.get_by_text("broke off")).to_be_hidden()
        assert watched.complaints == []


@pytest.mark.django_db(transaction=True)
class TestOnThePage:
    def begin(self, page: Page, address: str, season: Season, file: Path) -> None:
        sign_up(page, address)
        page.goto(f"{address}/seasons/{season.slug}/upload/")
        slow(page, 5 * MB)
        fill_upload(page, file)
        wait_until_sent(page, 20)

    def test_it_is_paused_and_resumed_with_its_progress_told(self, live_server, season, watched, large):
        page = watched.page
        self.begin(page, live_server.url, season, large)

        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_text("Paused. What was sent is kept for a day.")).to_be_visible()
        assert re.match(r"\d+ %: [\d.]+ MB of 20 MB", page.locator("#figures").inner_text())
        assert float(page.get_by_role("progressbar").get_attribute("value")) > 0
        page.get_by_role("button", name="Resume").click()

        page.wait_for_url(re.compile(r"/batches/\d+/$"), timeout=60_000)
        assert Batch.objects.get().n_bytes == 20 * MB
        assert watched.complaints == []

    def test_it_is_cancelled_and_nothing_is_left(self, live_server, season, watched, large):
        page = watched.page
        self.begin(page, live_server.url, season, large)

        page.get_by_role("button", name="Cancel").click()

        expect(page.get_by_role("button", name="Upload")).to_be_visible()
        expect(page.get_by_label("Method", exact=True)).to_have_value("substitution")
        page.wait_for_function("() => Object.keys(localStorage).length === 0")
        assert not ResumableUpload.objects.exists()

    def test_a_refusal_is_told_before_the_first_byte(self, live_server, season, watched, large):
        page, offsets = watched.page, parts_of(watched)
        Season.objects.update(upload_bytes_a_day=5 * MB)
        sign_up(page, live_server.url)
        page.goto(f"{live_server.url}/seasons/{season.slug}/upload/")

        fill_upload(page, large)

        expect(page.get_by_role("alert")).to_contain_text("5,000,000 are left of the 5,000,000 bytes of uploads")
        expect(page.get_by_label("Method", exact=True)).to_have_value("substitution")
        assert offsets == []

    def test_a_dry_run_is_watched_and_its_file_submitted(self, live_server, season, watched, tmp_path):
        page, archive = watched.page, tmp_path / "batch.zip"
        archive.write_bytes(zipped(first_texts()))
        sign_up(page, live_server.url)
        page.goto(f"{live_server.url}/seasons/{season.slug}/upload/")
        page.get_by_label("Dry run").check()
        fill_upload(page, archive)
        progress = page.get_by_role("region", name="Progress")
        expect(progress).to_contain_text("Waiting to be read")
        assert not Batch.objects.exists()

        carry_out(DryRun.objects.get().pk)
        expect(progress).to_contain_text("4 of 6 structures would go on", timeout=PATIENCE_MS)
        page.get_by_role("link", name="TWIN 1").click()
        expect(page.get_by_role("row")).to_have_count(2)  # the head and one
        page.get_by_role("button", name="Submit this file now").click()

        expect(page.get_by_role("heading", name="batch.zip")).to_be_visible()
        assert Batch.objects.get().file_name == "batch.zip"
        assert watched.complaints == []

    def test_without_a_script_the_form_does_it(self, live_server, season, browser, tmp_path):
        visit = Watched(browser, java_script_enabled=False)
        archive = tmp_path / "batch.zip"
        archive.write_bytes(zipped({"a.cif": cif(ordered_alloy("Cu", "Au", lattice_ang=3.7))}))
        sign_up(visit.page, live_server.url)
        visit.page.goto(f"{live_server.url}/seasons/{season.slug}/upload/")

        fill_upload(visit.page, archive)

        expect(visit.page.get_by_role("heading", name="batch.zip")).to_be_visible()
        visit.context.close()
        assert Batch.objects.get().n_bytes == archive.stat().st_size

    @pytest.mark.parametrize(("width", "scheme"), SCREENS)
    def test_its_pages_fit_the_screen(self, live_server, season, browser, scheme, width, tmp_path):
        visit = Watched(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
        page, archive = visit.page, tmp_path / "batch.zip"
        archive.write_bytes(zipped(first_texts()))
        sign_up(page, live_server.url)
        page.goto(f"{live_server.url}/seasons/{season.slug}/upload/")
        page.get_by_label("Dry run").check()
        fill_upload(page, archive)
        expect(page.get_by_role("region", name="Progress")).to_be_visible()
        run = DryRun.objects.get()
        carry_out(run.pk)

        for path in (f"/dry-runs/{run.pk}/", f"/seasons/{season.slug}/upload/", "/batches/", "/accounts/keys/"):
            page.goto(live_server.url + path)
            if path.endswith("/keys/"):
                page.get_by_label("Name").fill("laptop")
                page.get_by_role("button", name="Make a key").click()
                expect(page.get_by_text("it is not shown again")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        visit.context.close()
        assert visit.complaints == []
