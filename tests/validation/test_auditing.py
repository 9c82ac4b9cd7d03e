"""What two judges must agree on: formation energies, each on its own scale, without learned corrections."""

from pathlib import Path

import pytest

from hull.entries import Formula
from hull.reference import Coverage, read_release
from validation.auditing import Auditor, Heard, Unheard, objection_to
from validation.corrections import correction_per_atom, corrections_of
from validation.formation import Grounds
from validation.relaxation import Stopped

CHGNET = read_release(Path(__file__).resolve().parents[2] / "reference" / "chgnet-elements.parquet").scale
PLAIN = {**CHGNET, "weights_sha256": "0" * 64}
LIMIT = 0.4
MG, O = 12, 8  # noqa: E741 - an element
MGO = Formula.parse("MgO")


def grounds(scale, magnesium, oxygen):
    return Grounds(Coverage.ELEMENTS, {MG: magnesium, O: oxygen}, corrections_of(scale))


def auditor(scale=PLAIN):
    return Auditor("second", grounds(scale, -1.0, -5.0))


class Ended:
    def __init__(self, stopped, energy_per_atom, note=""):
        self.stopped, self.energy_per_atom, self.note = stopped, energy_per_atom, note


@pytest.mark.parametrize(
    ("formula", "per_atom"),
    [
        ("MgO", -0.687 / 2),
        ("Fe2O3", -0.687 * 3 / 5),
        ("CaSO4", -0.687 * 4 / 6),  # its sulfur is no anion
        ("NaF", -0.462 / 2),
        ("InSb", -0.192 / 2),
        ("NiTi", 0.0),
        ("O", 0.0),
        ("S", 0.0),
    ],
)
def test_the_corrections_of_mp2020_are_those_of_the_most_electronegative_anion(formula, per_atom):
    assert correction_per_atom(Formula.parse(formula), corrections_of(CHGNET)) == pytest.approx(per_atom)


def test_scales_of_which_nothing_is_known_have_no_corrections():
    assert correction_per_atom(MGO, corrections_of(PLAIN)) == 0.0


@pytest.mark.parametrize(("theirs", "agree"), [(-2.70, True), (-2.31, True), (-2.25, False), (-3.15, False)])
def test_energies_that_one_judge_learned_corrected_are_compared_without(theirs, agree):
    """CHGNet's −3.05 eV/atom for MgO holds −0.34 of corrections; −2.71 is compared with plain −2.7."""
    heard, judge = Heard(theirs - 3.0), grounds(CHGNET, -1.6, -4.9)

    said = auditor().objection(MGO, heard, -3.05, judge, LIMIT)

    assert (said == "") is agree
    if not agree:
        assert "apart without the corrections of anions (limit 0.4)" in said


def test_two_judges_with_the_same_corrections_are_compared_as_they_are():
    one = auditor(CHGNET)

    assert one.difference(MGO, Heard(-3.0 - 2.7), -3.05, grounds(CHGNET, 0, 0)) == pytest.approx(0.35)


def test_one_that_exploded_comes_to_no_energy_and_one_that_ran_out_of_steps_says_how_far_it_came():
    assert Heard.of(Ended(Stopped.EXPLODED, None, "the cell collapsed")).energy_per_atom is None
    assert Heard.of(Ended(Stopped.EXPLODED, None, "the cell collapsed")).problem.endswith("the cell collapsed")
    assert Heard.of(Ended(Stopped.MAX_STEPS, -1.5)) == Heard(-1.5)


def test_all_who_are_silent_are_named_and_the_first_who_objects_is_heard():
    second, third = auditor(), Auditor("third", grounds(PLAIN, -1.0, -5.0))
    ask = ((7, MGO), -3.05, grounds(PLAIN, 0, 0), (second, third))

    with pytest.raises(Unheard) as unheard:
        objection_to(*ask, {}, LIMIT)
    assert (unheard.value.candidate, unheard.value.auditors) == (7, ("second", "third"))

    said = objection_to(*ask, {"second": Heard(-6.05), "third": Heard(-9.0)}, LIMIT)
    assert "by the auditor third" in said
