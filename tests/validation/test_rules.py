import json
from dataclasses import replace

import pytest

from validation import rules as rules_module
from validation.rules import Points, Reason, Rejected, RelaxationSettings, Rules, Tolerances

CHANGED = Rules(
    max_atoms=200,
    excluded_elements=("He", "Xe"),
    volume_ratio_range=(0.2, 4.0),
    twin=Tolerances(0.02, 0.03, 2.0, False),
    points=Points(stable=20.0),
)


@pytest.mark.parametrize("rules", [Rules(), CHANGED])
def test_rules_survive_json(rules):
    found = Rules.from_json(json.loads(json.dumps(rules.to_json())))

    assert found == rules
    assert found.digest() == rules.digest()


def test_rules_left_out_have_their_defaults():
    assert Rules.from_json({"max_atoms": 7}) == Rules(max_atoms=7)


def test_a_rule_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="max_atomz"):
        Rules.from_json({"max_atomz": 7})


CHANGES = [{"max_atoms": 51}, {"volume_ratio_range": (0.2, 3.0)}, {"points": Points(unique=2.0)}, {"version": 2}]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_rule_changes_the_digest(change):
    assert replace(Rules(), **change).digest() != Rules().digest()


def test_the_matcher_is_part_of_the_digest(monkeypatch):
    before = Rules().digest()

    monkeypatch.setattr(rules_module, "MATCHER_VERSION", "another")

    assert Rules().digest() != before


def test_equal_settings_of_a_relaxation_have_one_digest():
    assert RelaxationSettings().digest() == RelaxationSettings(max_steps=500).digest()
    assert RelaxationSettings().digest() != RelaxationSettings(max_steps=501).digest()


def test_a_rejection_carries_its_reason_and_its_sentence():
    rejected = Rejected(Reason.VOLUME, "the cell is too small.")

    assert (rejected.reason, rejected.detail) == (Reason.VOLUME, "the cell is too small.")
    assert str(rejected) == "VOLUME: the cell is too small."


@pytest.mark.parametrize("limit", ["fifty", None, True, float("nan")])
def test_a_limit_that_is_no_number_is_refused_by_name(limit):
    with pytest.raises(ValueError, match="max_atoms"):
        Rules.from_json({"max_atoms": limit})
