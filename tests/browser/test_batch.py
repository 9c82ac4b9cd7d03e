"""A participant with a browser: signs up, uploads, and watches the batch being judged."""

from urllib.parse import urlsplit

import pytest
from driving import first_texts, place_all, read_all, relax_all, run_all, zipped
from playwright.sync_api import expect
from visiting import PATIENCE_MS, SCREENS, Watched, fill_upload, sign_up

from philately.domain import intake
from philately.models import Batch

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_batch_is_watched_from_upload_to_placement(live_server, season, watched, tmp_path):
    page = watched.page
    archive = tmp_path / "batch.zip"
    archive.write_bytes(zipped(first_texts()))

    sign_up(page, live_server.url)
    page.get_by_role("link", name="Practice season").click()
    page.get_by_role("link", name="Upload structures").click()
    fill_upload(page, archive)
    progress = page.get_by_role("region", name="Progress")
    expect(progress).to_contain_text("Waiting to be read")

    intake.read_batches(season.pk)
    expect(progress).to_contain_text("reading 6", timeout=PATIENCE_MS)

    read_all(season)
    expect(progress).to_contain_text("relaxing 4", timeout=PATIENCE_MS)
    expect(page.get_by_role("row", name="notes.txt")).to_contain_text("NOT_CIF")

    relax_all(season)
    expect(progress).to_contain_text("waiting for its turn 4", timeout=PATIENCE_MS)
    expect(page.get_by_role("row", name="CuAu.cif")).to_contain_text("provisional")

    place_all(season)
    expect(progress).to_contain_text("Finished: all 6 structures have an answer", timeout=PATIENCE_MS)
    expect(page.get_by_role("row", name="Cu3Au.cif Cu3Au")).to_contain_text("predicted stable by emt")

    page.get_by_role("link", name="duplicate 2", exact=True).click()
    expect(page.get_by_role("row")).to_have_count(3)  # the head and two
    assert watched.complaints == []
    assert {urlsplit(address).netloc for address in watched.asked} == {urlsplit(live_server.url).netloc}


def test_a_finished_batch_is_asked_for_no_more(live_server, season, watched, tmp_path):
    page = watched.page
    archive = tmp_path / "broken.zip"
    archive.write_bytes(b"PK\x03\x04 is no zip")

    sign_up(page, live_server.url)
    page.goto(f"{live_server.url}/seasons/{season.slug}/upload/")
    fill_upload(page, archive)
    page.wait_for_url("**/batches/*/")
    read_all(season)
    expect(page.get_by_text("The file was refused")).to_be_visible(timeout=PATIENCE_MS)
    watched.asked.clear()
    page.wait_for_timeout(2500)

    assert watched.asked == []
    assert Batch.objects.get().candidates.count() == 0


def test_a_refusal_stands_on_the_form_and_keeps_what_was_typed(live_server, season, watched, tmp_path):
    page = watched.page
    empty = tmp_path / "empty.zip"
    empty.write_bytes(b"")

    sign_up(page, live_server.url)
    page.goto(f"{live_server.url}/seasons/{season.slug}/upload/")
    fill_upload(page, empty)

    expect(page.get_by_role("alert")).to_contain_text("The file is empty")
    expect(page.get_by_label("Method", exact=True)).to_have_value("substitution")


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_pages_follow_the_systems_colours_and_fit_the_screen(live_server, season, browser, scheme, width):
    visit = Watched(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = visit.page

    for address in ("/", f"/seasons/{season.slug}/", f"/seasons/{season.slug}/stable/", "/accounts/login/"):
        page.goto(live_server.url + address)
        assert page.locator("html").get_attribute("data-bs-theme") == scheme
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    visit.context.close()
    assert visit.complaints == []


def test_a_structure_is_taken_back_and_the_page_follows(live_server, season, watched, tmp_path):
    page = watched.page
    archive = tmp_path / "batch.zip"
    archive.write_bytes(zipped(first_texts()))
    sign_up(page, live_server.url)
    page.goto(f"{live_server.url}/seasons/{season.slug}/upload/")
    fill_upload(page, archive)
    page.wait_for_url("**/batches/*/")
    run_all(season)
    address = page.url

    page.goto(address)
    page.get_by_role("link", name="Cu3Au.cif", exact=True).click()
    page.get_by_role("link", name="Withdraw this structure").click()
    page.get_by_label("Reason").fill("a wrong file")
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_role("status")).to_contain_text("1 structure is withdrawn")
    page.goto(address)
    expect(page.get_by_role("region", name="Progress")).to_contain_text("1 structure is being withdrawn")

    place_all(season)

    row = page.get_by_role("row", name="Cu3Au.cif Cu3Au")
    expect(row).to_contain_text("withdrawn by its owner: a wrong file", timeout=PATIENCE_MS)
    expect(page.get_by_role("region", name="Progress")).not_to_contain_text("being withdrawn")
    assert watched.complaints == []
