"""What an organiser is shown of a judge, when it is refused, and what is kept of one without registered values."""

import dataclasses
import json

import pytest
from ase.calculators import emt
from django.core.management import CommandError, call_command

from philately.domain import judges
from philately.models import AcceptedJudge, Scale
from validation.canary import CanaryDied
from validation.potentials import load_judge
from validation.rules import RelaxationSettings
from validation.scales import scale_digest, scale_of

OWN = json.dumps({"path": "ase.calculators.emt:EMT", "elements": ["Cu", "Au"], "cutoff_ang": 5.8, "packages": ["ase"]})


@pytest.fixture
def register(db, capsys):
    def run(*arguments):
        call_command("register_judge", *arguments)
        return capsys.readouterr().out

    return run


@pytest.fixture
def swollen_copper():
    """EMT's own copper made 1 % too large: within what experiment allows, and not what it was."""
    copper = emt.parameters["Cu"]
    emt.parameters["Cu"] = (copper[0], copper[1] * 1.01, *copper[2:])
    yield
    emt.parameters["Cu"] = copper


def test_a_judge_with_registered_values_is_shown_beside_them_and_nothing_is_kept(register):
    shown = register("emt", "--accept")

    judge = load_judge("emt")
    for line in (
        "architecture  EMT",
        "elements      7: Ag Al Au Cu Ni Pd Pt",
        "cutoff        5.8 Å",
        "dtype         float64",
        "device        cpu",
        f"weights       SHA-256 {judge.weights_sha256}",
        f"versions      ase {judge.versions['ase']}",
        "held against registered values of emt/",
    ):
        assert line in shown
    rows = [line.split() for line in shown.splitlines() if line.startswith(("Cu ", "Au ", "Al "))]
    assert [row[:2] for row in rows] == [["Cu", "3.590"], ["Au", "4.056"], ["Al", "3.994"]]
    assert all(abs(float(row[1]) - float(row[2])) < 0.02 for row in rows)
    assert all(abs(float(row[4]) - float(row[5])) < 0.005 for row in rows)
    assert not AcceptedJudge.objects.exists()


def test_one_that_does_not_relax_the_crystals_as_registered_is_refused(register, swollen_copper, capsys):
    with pytest.raises(CommandError, match=r"the judge emt is refused, its numbers are off: Cu: expected a = 3.590 Å"):
        register("emt", "--accept")

    assert "off, or it does not converge" in capsys.readouterr().out
    assert not AcceptedJudge.objects.exists()


def test_without_registered_values_it_is_held_against_experiment_and_kept_only_when_told(register):
    shown = register("ase", "--model", OWN)

    assert "held against experimental lattice parameters, 5 %" in shown
    assert "--accept keeps those found" in shown
    assert not AcceptedJudge.objects.exists()

    assert "accepted" in register("ase", "--model", OWN, "--accept")

    kept = AcceptedJudge.objects.get()
    assert kept.identity == load_judge("ase", OWN).identity()
    assert kept.canary["Cu"] == {
        "lattice_ang": pytest.approx(3.590, abs=0.005),
        "energy_per_atom": pytest.approx(-0.007, abs=0.002),
    }
    assert set(kept.canary) == {"Cu", "Au"}

    shown = register("ase", "--model", OWN, "--accept")
    assert "held against values accepted for these weights" in shown
    assert "nothing to accept" in shown
    assert AcceptedJudge.objects.count() == 1


def test_workers_hold_accepted_weights_against_the_values_kept(register, swollen_copper):
    own = load_judge("ase", OWN)
    settings = RelaxationSettings()
    identity = scale_of(own, settings)
    scale = Scale.objects.create(judge="ase", model=OWN, name="own", identity=identity, digest=scale_digest(identity))
    register("ase", "--model", OWN, "--accept")
    judges.judge_of.cache_clear()
    assert judges.judge_of(scale.pk)[1].source == "values accepted for these weights"

    copper = emt.parameters["Cu"]
    emt.parameters["Cu"] = (copper[0], copper[1] * 0.98, *copper[2:])
    judges.judge_of.cache_clear()
    with pytest.raises(CanaryDied, match=r"Cu: expected a = .*values accepted for these weights"):
        judges.judge_of(scale.pk)
    judges.judge_of.cache_clear()


def test_one_far_from_experiment_is_not_accepted(register):
    """A spring whose copper is a tenth too large, as the older checkpoint's sodium chloride."""
    far = json.dumps(
        {
            "path": "ase.calculators.morse:MorsePotential",
            "elements": ["Cu"],
            "cutoff_ang": 6,
            "arguments": {"r0": 2.8, "epsilon": 0.35, "rho0": 5.0},
        }
    )

    with pytest.raises(CommandError, match=r"the judge ase is refused, its numbers are off: Cu: expected a = 3.615 Å"):
        register("ase", "--model", far, "--accept")
    assert not AcceptedJudge.objects.exists()


def test_one_that_knows_none_of_the_crystals_is_refused(register):
    described = json.dumps({"path": "ase.calculators.emt:EMT", "elements": ["Pd"], "cutoff_ang": 5.8})

    with pytest.raises(CommandError, match="it knows the elements of none of the canary's crystals: NaCl, MgO"):
        register("ase", "--model", described, "--accept")


def test_what_did_not_pass_is_never_kept(db):
    judge = load_judge("emt")
    canary = judges.checked(judge)
    off = dataclasses.replace(canary, rows=(dataclasses.replace(canary.rows[0], sings=False), *canary.rows[1:]))

    with pytest.raises(judges.NotAcceptable, match="the judge emt is refused"):
        judges.accept(judge, off)
    assert not AcceptedJudge.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["emt", "--model", "folder"], "the judge emt cannot be loaded: UnknownJudge: the judge emt has no models"),
        (["ase", "--model", "{}"], "the model's description lacks"),
        (["oracle"], "invalid choice: 'oracle'"),
    ],
)
def test_what_cannot_be_loaded_gets_a_sentence(register, arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        register(*arguments)
