import hashlib
import json
import pickle
from dataclasses import asdict, replace

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


CHANGES = [
    {"max_atoms": 51},
    {"volume_ratio_range": (0.2, 3.0)},
    {"points": Points(unique=2.0)},
    {"version": 4},
    {"bond_radii_ratio": 0.0},
]


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


def test_a_rejection_survives_a_way_between_processes_with_its_sites_and_numbers():
    rejected = Rejected(Reason.OVERLAPPING_ATOMS, "too near.", sites=(1, 2), value=0.1, limit=1.3)

    found = pickle.loads(pickle.dumps(rejected))

    assert (found.reason, found.detail) == (rejected.reason, rejected.detail)
    assert (found.sites, found.value, found.limit) == ((1, 2), 0.1, 1.3)


def test_rules_of_version_1_keep_their_meaning_and_their_digest():
    stored = json.loads(json.dumps(asdict(Rules(version=1))))
    for unknown in ("bond_radii_ratio", "held_auditor_difference_ev_per_atom"):
        del stored[unknown]
    canonical = json.dumps({"matcher": rules_module.MATCHER_VERSION, **stored}, sort_keys=True, separators=(",", ":"))

    rules = Rules.from_json(stored)

    assert rules.bond_radii_ratio == 0.0
    assert rules.to_json() == stored
    assert rules.digest() == hashlib.sha256(canonical.encode()).hexdigest()
    assert Rules.from_json(rules.to_json()) == rules


def test_rules_of_version_2_are_written_without_the_rule_on_auditors_unless_it_differs():
    older = Rules(version=2)

    assert "held_auditor_difference_ev_per_atom" not in older.to_json()
    assert Rules.from_json(older.to_json()) == older
    changed = Rules(version=2, held_auditor_difference_ev_per_atom=0.3)
    assert Rules.from_json(changed.to_json()) == changed
    assert changed.digest() != older.digest()


def test_a_rule_that_version_1_did_not_have_can_be_given_to_it_and_is_then_told_by_the_digest():
    older = Rules(version=1, bond_radii_ratio=0.0)

    assert Rules.from_json({**older.to_json(), "bond_radii_ratio": 1.3}) == replace(older, bond_radii_ratio=1.3)
    assert replace(older, bond_radii_ratio=1.3).digest() != older.digest()
