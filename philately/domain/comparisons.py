"""Relaxed structures compared ahead of their turn, so that the sequencer need not fit what workers can.

The results are facts. The sequencer makes those that it misses itself, so nothing depends on how far this has come.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache

from hull.entries import Formula
from philately.domain.files import chunks
from philately.domain.recall import phases_near
from philately.domain.turns import arrival_of, waiting_of
from philately.models import (
    Candidate,
    Fit,
    RelaxationGeometry,
    RelaxedFingerprint,
    ReleasePhase,
    Run,
)
from philately.states import CandidateState
from validation.crystal import Crystal
from validation.fingerprint import FINGERPRINT_VERSION, Fingerprint, Limits
from validation.matching import Description, is_match
from validation.memory import Fits, KeptPhase
from validation.rules import MATCHER_VERSION, Rules
from validation.verdicts import Arrival, text_of

_ASKED = 5000  # numbers a statement
_BUDGET = 256  # fits of one candidate; a crowd that needs more of them leaves the rest to the sequencer
_KEPT = 4096  # crystals


def policy_of(rules: Rules) -> str:
    """Under which fits are the same facts."""
    said = json.dumps([MATCHER_VERSION, FINGERPRINT_VERSION, asdict(rules.duplicate)], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def compare(run: Run, candidates: Sequence[int]) -> None:
    """Fit candidates that were just relaxed with the phases, and with what else waits for its turn, near them in energy
    and fingerprint."""
    rules = Rules.from_json(run.rules)
    arrivals = [arrival_of(waiting) for waiting in waiting_of(Candidate.objects.filter(pk__in=candidates))]
    others = {mine: near for mine, near in _others(run, arrivals, rules).items() if near}
    if not others:
        return
    structures = set(others).union(*others.values())
    _complete_fingerprints(structures, rules)
    fits = fits_of(structures, rules)
    pairs: set[tuple[int, int]] = set()
    for mine, near in others.items():
        still = [other for other in near if fits.is_open(mine, other)][:_BUDGET]
        pairs |= {(min(mine, other), max(mine, other)) for other in still}
    matches = {(a, b): is_match(_crystal(a), _crystal(b), rules.duplicate) for a, b in sorted(pairs)}
    policy = policy_of(rules)
    Fit.objects.bulk_create(
        (Fit(policy=policy, lower=lower, higher=higher, matches=fit) for (lower, higher), fit in matches.items()),
        ignore_conflicts=True,
    )


def fits_among(arrivals: Sequence[Arrival], phases: Mapping[Formula, Sequence[KeptPhase]], rules: Rules) -> Fits:
    """What is known of the arrivals, as far as one of them may match a phase or another one. phases: near them."""
    times = Counter(arrival.formula for arrival in arrivals)
    concerned = (one.structure for one in arrivals if phases[one.formula] or times[one.formula] > 1)
    structures = {*concerned, *(phase.structure for near in phases.values() for phase in near)}
    return fits_of((structure for structure in structures if structure is not None), rules)


def fits_of(structures: Iterable[int], rules: Rules) -> Fits:
    """What is known of these relaxed structures among each other. Positive numbers are relaxations, negative ones
    release phases."""
    numbers = sorted(set(structures))
    facts = Fit.objects.filter(policy=policy_of(rules))
    results: dict[tuple[int, int], bool] = {}
    for some in chunks(numbers, _ASKED):
        for lower, higher, matches in facts.filter(higher__in=some).values_list("lower", "higher", "matches"):
            results[lower, higher] = matches
    return Fits(Limits.of(rules.duplicate), _fingerprints_of(numbers), results)


def write_fingerprints(described: Iterable[tuple[int, Sequence[Fingerprint]]]) -> None:
    """Of relaxed structures, numbered as above; nothing where they stand already."""
    rows = [
        RelaxedFingerprint(
            relaxation_id=number if number > 0 else None,
            release_phase_id=-number if number < 0 else None,
            key=one.key,
            packed=one.pack(),
        )
        for number, fingerprints in described
        for one in fingerprints
    ]
    RelaxedFingerprint.objects.bulk_create(rows, ignore_conflicts=True)


def _others(run: Run, arrivals: Sequence[Arrival], rules: Rules) -> dict[int, list[int]]:
    """By structure of the arrivals, those of its formula within the window: the phases first, the nearest first."""
    phases, waiting = phases_near(run, arrivals, rules), _waiting(run, {arrival.formula for arrival in arrivals})
    window, found = rules.duplicate_window_ev_per_atom, dict[int, list[int]]()
    for arrival in arrivals:
        mine, energy = arrival.structure, arrival.energy_per_atom
        assert mine is not None  # it is relaxed
        near = [(False, abs(one.energy_per_atom - energy), one.structure) for one in phases[arrival.formula]]
        near += [(True, abs(other - energy), number) for number, other in waiting[arrival.formula]]
        ordered = (number for _, apart, number in sorted(near) if number is not None and apart <= window)
        found[mine] = [number for number in dict.fromkeys(ordered) if number != mine]
    return found


def _waiting(run: Run, formulas: Iterable[Formula]) -> dict[Formula, list[tuple[int, float]]]:
    """Relaxations, and their energies in eV/atom, of all of these formulas that waits for its turn."""
    named = {text_of(formula): formula for formula in formulas}
    relaxed = Candidate.objects.filter(season=run.season_id, state=CandidateState.RELAXED, formula__in=named)
    found: dict[Formula, list[tuple[int, float]]] = {formula: [] for formula in named.values()}
    for text, number, energy in relaxed.values_list("formula", "relaxation", "relaxation__energy_per_atom"):
        if energy is not None:  # what exploded is rejected and does not wait
            found[named[text]].append((number, energy))
    return found


def _complete_fingerprints(structures: set[int], rules: Rules) -> None:
    """Those of a release, and what was relaxed before there were fingerprints, get theirs when they are needed."""
    missing = sorted(structures - _fingerprints_of(sorted(structures)).keys())
    write_fingerprints((one, Description.of(_crystal(one), rules.duplicate).fingerprints) for one in missing)


def _fingerprints_of(numbers: Sequence[int]) -> dict[int, tuple[Fingerprint, ...]]:
    found: dict[int, tuple[Fingerprint, ...]] = {}
    for sign, owner in ((1, "relaxation"), (-1, "release_phase")):
        for some in chunks([sign * number for number in numbers if sign * number > 0], _ASKED):
            rows = RelaxedFingerprint.objects.filter(**{f"{owner}__in": some})
            for number, key, packed in rows.values_list(owner, "key", "packed"):
                found[sign * number] = (*found.get(sign * number, ()), Fingerprint.unpack(key, packed))
    return found


@lru_cache(maxsize=_KEPT)
def _crystal(structure: int) -> Crystal:
    """A fact never changes; and as one object, its description is made once."""
    if structure > 0:
        return Crystal.unpack(RelaxationGeometry.objects.values_list("crystal", flat=True).get(pk=structure))
    return Crystal.unpack(ReleasePhase.objects.values_list("geometry", flat=True).get(pk=-structure))
