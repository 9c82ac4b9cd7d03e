"""Lists of the administration: pages follow each other by key, nothing is counted, searches go by indexes."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from driving import cif, first_texts, ordered_alloy, run_all, submit

from philately import keyset_admin
from philately.keyset_admin import KeysetAdmin
from philately.models import Candidate, HullPoint, Phase, Placement, ScoreEntry

CANDIDATES = reverse("admin:philately_candidate_changelist")


@pytest.fixture
def judged(season, participant):
    batch = submit(participant, first_texts())
    run_all(season)
    return batch


def listed(answer) -> list[int]:
    """Keys of the rows, in order."""
    return [row.pk for row in answer.context["cl"].result_list]


def next_page(answer) -> str | None:
    (links,) = re.findall(r'<p class="paginator">(.*?)</p>', answer.content.decode(), re.DOTALL)
    found = re.search(r'href="([^"]+)"', links)
    return found and found[1].replace("&amp;", "&")


def pages(client, address: str, **asked) -> list[list[int]]:
    answer, found = client.get(address, asked), []
    while True:
        found.append(listed(answer))
        if (following := next_page(answer)) is None:
            return found
        answer = client.get(address + following)


def test_pages_follow_each_other_by_key_and_hold_every_row_once(admin_client, judged, monkeypatch):
    monkeypatch.setattr(KeysetAdmin, "list_per_page", 4)

    keys = sorted(Candidate.objects.values_list("pk", flat=True), reverse=True)

    assert pages(admin_client, CANDIDATES) == [keys[:4], keys[4:]]


def test_no_list_counts_or_skips_rows(admin_client, judged):
    with CaptureQueriesContext(connection) as captured:
        admin_client.get(CANDIDATES)
        admin_client.get(CANDIDATES, {"state__exact": "rejected"})
        admin_client.get(CANDIDATES, {"p": "2"})

    assert not [query["sql"] for query in captured if re.search(r"COUNT\(|OFFSET", query["sql"])]


def test_a_filtered_page_ends_after_so_many_rows_and_the_next_looks_further(admin_client, judged, monkeypatch):
    monkeypatch.setattr(keyset_admin, "LOOKED_THROUGH", 2)
    rejected = list(Candidate.objects.filter(state="rejected").values_list("pk", flat=True))

    found = pages(admin_client, CANDIDATES, state__exact="rejected")
    first = admin_client.get(CANDIDATES, {"state__exact": "rejected"})

    assert len(found) == 3 and [key for page in found for key in page] == rejected
    assert "Look further" in first.content.decode()
    assert f"Looked through as far as {Candidate.objects.latest('pk').pk - 1}" in first.content.decode()


def test_a_link_to_a_filter_begins_on_its_first_page(admin_client, judged):
    last = Candidate.objects.latest("pk").pk

    answer = admin_client.get(CANDIDATES, {"before": last, "state__exact": "placed"})

    links = re.findall(r'<a href="(\?[^"]*)"', answer.content.decode())
    assert links and not [link for link in links if "before=" in link]


@pytest.mark.parametrize("model", [Phase, HullPoint], ids=lambda model: model.__name__)
def test_a_formula_is_found(admin_client, judged, model):
    address = reverse(f"admin:philately_{model._meta.model_name}_changelist")

    found = listed(admin_client.get(address, {"q": "AuCu3"}))

    assert found == list(model.objects.filter(formula="AuCu3").order_by("-pk").values_list("pk", flat=True)) != []


def test_numbers_find_a_candidate_its_batch_and_its_placement(admin_client, season, participant, judged):
    other = submit(participant, {"Cu3Pt.cif": cif(ordered_alloy("Cu", "Pt", lattice_ang=3.7))})
    run_all(season)
    candidate = other.candidates.get()

    placements = reverse("admin:philately_placement_changelist")

    assert candidate.pk in listed(admin_client.get(CANDIDATES, {"q": str(candidate.pk)}))
    assert candidate.pk in listed(admin_client.get(CANDIDATES, {"q": str(other.pk)}))
    (placement,) = listed(admin_client.get(placements, {"q": str(candidate.pk)}))
    assert Placement.objects.get(pk=placement).candidate == candidate


def test_a_name_finds_points(admin_client, judged, participant):
    scores = reverse("admin:philately_scoreentry_changelist")

    assert len(listed(admin_client.get(scores, {"q": participant.user.username}))) == ScoreEntry.objects.count() > 0
    assert listed(admin_client.get(scores, {"q": "nobody"})) == []
