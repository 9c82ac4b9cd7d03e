"""Each command says what it did, or in one sentence why not."""

import json
import os
import subprocess
import sys

import pytest
from ase.build import bulk
from django.core.management import CommandError, call_command, get_commands, load_command_class
from driving import ordered_alloy
from facts import add_candidate

from philately.domain import place
from philately.domain.place import place_waiting
from philately.models import Membership, Placement, Release, Season, User
from philately.queries.dumps import latest_dump
from philately.states import CandidateState, Role, Visibility
from validation.scales import scale_digest

OURS = sorted(name for name, app in get_commands().items() if app == "philately")


@pytest.fixture
def placed(season, participant):
    place.forget()
    candidate = add_candidate(participant, ordered_alloy("Cu", "Au", lattice_ang=3.7), -0.1)
    place_waiting(season.pk)
    return candidate


@pytest.mark.parametrize("name", OURS)
def test_every_command_explains_itself_and_each_of_its_arguments(name):
    command = load_command_class("philately", name)
    own = [
        action
        for action in command.create_parser("manage.py", name)._actions
        if not set(action.option_strings) & {"-h", "--version", "-v", "--settings", "--pythonpath", "--traceback"}
        and not set(action.option_strings) & {"--no-color", "--force-color", "--skip-checks"}
    ]

    assert command.help.endswith(".")
    assert all(action.help for action in own), [action.dest for action in own if not action.help]


def _show(name, *arguments, capsys):
    call_command(name, *map(str, arguments))
    return capsys.readouterr().out


def test_a_process_starts_without_what_only_few_tasks_need(tmp_path):
    program = (
        "import sys, django; django.setup(); import philately.tasks, philately.wsgi; "
        "print(sorted({'torch', 'matgl', 'pymatgen', 'ase', 'pandas'} & set(sys.modules)))"
    )
    own = {"DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "philately.settings"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_create_season_opens_one_on_the_scale_of_its_release(season, capsys):
    User.objects.create_user("olga")
    release = Release.objects.get()

    shown = _show(
        *("create_season", "spring-2027", "--name", "Spring 2027", "--release", release.sha256[:12]),
        *("--max-atoms", 20, "--visibility", "blind", "--opens", "2027-03-01", "--closes", "2027-06-01T12:00+02:00"),
        *("--organiser", "olga"),
        capsys=capsys,
    )

    made = Season.objects.get(slug="spring-2027")
    assert "spring-2027 is judged by emt against EMT elements" in shown
    assert (made.name, made.visibility, made.rules["max_atoms"]) == ("Spring 2027", Visibility.BLIND, 20)
    assert made.opens_at.isoformat() == "2027-03-01T00:00:00+00:00"
    assert made.closes_at.isoformat() == "2027-06-01T10:00:00+00:00"
    assert Membership.objects.get(season=made).role == Role.ORGANISER


def test_create_season_takes_rules_from_a_file(season, tmp_path, capsys):
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"max_elements": 3, "points": {"stable": 20.0}}))

    _show("create_season", "strict", "--release", Release.objects.get().pk, "--rules", file, capsys=capsys)

    rules = Season.objects.get(slug="strict").official_run.rules
    assert (rules["max_elements"], rules["points"]["stable"], rules["points"]["unique"]) == (3, 20.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["practice", "--release", "1"], "there is a season 'practice' already"),
        (["new season", "--release", "1"], "cannot stand in an address"),
        (["new", "--release", "99"], r"0 releases fit '99'; known are 1 \(EMT elements\)"),
        (["new", "--release", "1", "--organiser", "nobody"], "there is no user 'nobody'"),
        (["new", "--release", "1", "--rules", "nowhere.json"], "these rules cannot be used"),
        (["new", "--release", "1", "--opens", "tomorrow"], "--opens"),
        (["new", "--release", "1", "--visibility", "murky"], "--visibility"),
        (["new", "--release", "1", "--opens", "2027-03-01", "--closes", "2027-02-01"], "before it opens"),
    ],
)
def test_create_season_says_what_is_wrong(season, arguments, sentence):
    release = str(Release.objects.get().pk)
    arguments = [release if argument == "1" else argument for argument in arguments]

    with pytest.raises(CommandError, match=sentence.replace("known are 1", f"known are {release}")):
        call_command("create_season", *arguments)


@pytest.mark.parametrize("rules", ['{"max_atom": 3}', "[", '{"points": {"gold": 1}}'])
def test_rules_that_do_not_exist_are_refused(season, tmp_path, rules):
    file = tmp_path / "rules.json"
    file.write_text(rules)

    with pytest.raises(CommandError, match="these rules cannot be used"):
        call_command("create_season", "new", "--release", str(Release.objects.get().pk), "--rules", str(file))


def test_an_organiser_who_does_not_exist_leaves_no_season_behind(season):
    with pytest.raises(CommandError):
        call_command("create_season", "new", "--release", str(Release.objects.get().pk), "--organiser", "nobody")

    assert not Season.objects.filter(slug="new").exists()


def test_dump_dataset_names_files_rows_and_checksums(placed, tmp_path, capsys):
    shown = _show("dump_dataset", tmp_path / "dump", capsys=capsys)

    assert "phases.parquet: 8 rows" in shown
    assert "release.parquet: 7 rows" in shown
    assert "SHA-256" in shown
    assert (tmp_path / "dump" / "manifest.json").is_file()


def test_dump_dataset_writes_where_the_season_s_page_offers_it(placed, settings, capsys):
    shown = _show("dump_dataset", capsys=capsys)

    assert "/phases.parquet: 8 rows" in shown
    assert latest_dump(Season.objects.get()).manifest["files"]["phases.parquet"]["rows"] == 8
    assert list(settings.DUMP_DIR.iterdir()) == []


def test_dump_dataset_asks_which_season_and_refuses_foreign_folders(placed, tmp_path):
    (tmp_path / "mine").mkdir()

    with pytest.raises(CommandError, match="known are practice"):
        call_command("dump_dataset", "--season", "other")
    with pytest.raises(CommandError, match="is no dump"):
        call_command("dump_dataset", str(tmp_path / "mine"))


def test_replay_shows_stored_and_replayed_figures(placed, capsys):
    shown = _show("replay", placed.pk, capsys=capsys)

    assert "stable" in shown
    assert shown.endswith("the verdict is the same\n")


def test_replay_ends_with_an_error_where_anything_differs(placed, capsys):
    Placement.objects.update(formation_energy_per_atom=-1.0)

    with pytest.raises(CommandError, match=r"formation_energy_per_atom was -1\.0000000000 and is now -0\.0") as error:
        call_command("replay", str(placed.pk))

    assert error.value.returncode == 1


def test_replay_says_that_there_is_nothing_to_replay(participant):
    waiting = add_candidate(participant, bulk("Cu"), state=CandidateState.PARSED)

    with pytest.raises(CommandError, match="no placement to replay"):
        call_command("replay", str(waiting.pk))
    with pytest.raises(CommandError, match="there is no candidate 999"):
        call_command("replay", "999")


def test_replay_with_a_new_relaxation_that_fails_says_so(placed, capsys):
    scale = placed.season.scale
    scale.identity["relaxation"] |= {"max_steps": 0}
    scale.digest = scale_digest(scale.identity)
    scale.save()

    with pytest.raises(CommandError, match="NOT_CONVERGED"):
        call_command("replay", str(placed.pk), "--relax")


def test_sweep_without_a_pause_sweeps_once(participant):
    candidate = add_candidate(participant, bulk("Cu"), state=CandidateState.FAILED, failed_in="relax", attempts=3)

    call_command("sweep")

    candidate.refresh_from_db()
    assert candidate.state == CandidateState.SET_ASIDE


def test_no_migration_is_missing(db):
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
