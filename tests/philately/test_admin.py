"""Administration: everything to be looked at, facts and evaluations never edited."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.urls import reverse
from driving import cif, first_texts, ordered_alloy, run_all, submit

from philately import models
from philately.states import Role

EDITABLE = (models.Season, models.Membership, models.User, Group)
LISTED = (models.Batch, models.Candidate, models.Phase, models.Placement, models.ScoreEntry, models.LogEntry)


def url(model, page: str, *arguments: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


@pytest.fixture
def judged(season, participant):
    batch = submit(participant, first_texts())
    run_all(season)
    return batch


def test_every_model_has_a_page_and_every_page_opens(admin_client, judged):
    for model in admin.site._registry:
        assert admin_client.get(url(model, "changelist")).status_code == 200
        row = model.objects.first()
        if row is not None:
            assert admin_client.get(url(model, "change", row.pk)).status_code == 200


def test_facts_and_evaluations_are_neither_added_nor_changed_nor_deleted(admin_client, judged):
    for model in set(admin.site._registry) - set(EDITABLE):
        row = model.objects.first()
        assert admin_client.get(url(model, "add")).status_code == 403
        if row is not None:
            assert admin_client.post(url(model, "change", row.pk), {}).status_code == 403
            assert admin_client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
            assert model.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("model", LISTED, ids=lambda model: model.__name__)
def test_lists_take_as_many_queries_for_more_rows(
    admin_client, season, participant, judged, model, django_assert_num_queries
):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    admin_client.get(url(model, "changelist"))
    before = model.objects.count()
    with CaptureQueriesContext(connection) as few:
        admin_client.get(url(model, "changelist"))
    submit(participant, {"Cu3Pt.cif": cif(ordered_alloy("Cu", "Pt", lattice_ang=3.7))})
    run_all(season)

    with django_assert_num_queries(len(few)):
        admin_client.get(url(model, "changelist"))
    assert model.objects.count() > before


def test_an_organiser_is_made_by_changing_a_role(admin_client, participant):
    admin_client.post(url(models.Membership, "change", participant.pk), {"role": Role.ORGANISER})

    participant.refresh_from_db()
    assert participant.role == Role.ORGANISER


def test_a_seasons_texts_are_edited_and_its_rules_are_not(admin_client, season):
    rules = season.rules
    admin_client.post(
        url(models.Season, "change", season.pk),
        {
            "name": "Renamed",
            "description": "",
            "opens_at_0": "2026-01-01",
            "opens_at_1": "00:00:00",
            "closes_at_0": "",
            "closes_at_1": "",
            "rules": "{}",
        },
    )

    season.refresh_from_db()
    assert (season.name, season.rules) == ("Renamed", rules)


def test_administration_is_for_staff(client, participant):
    client.force_login(participant.user)

    assert client.get(reverse("admin:index")).status_code == 302
