"""Rows of a season that nobody submitted: as many as are wanted, with everything that a submitted structure has.

Formulas and formation energies are those of ``benchmark.workload``, on the elements of the season's own release;
geometries are one cell, fingerprints random bytes of the usual length, of keys that nobody looks for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np
from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from benchmark.seasons import make
from hull.entries import SYMBOLS, Formula
from philately.domain import bulk
from philately.models import (
    Batch,
    Candidate,
    CandidateDetail,
    InitialFingerprint,
    Membership,
    RelaxationFact,
    RelaxationGeometry,
    RelaxedFingerprint,
    Season,
    Shard,
)
from philately.models.runs import Run
from philately.states import BatchState, CandidateState, ShardState
from validation.crystal import Crystal
from validation.relaxation import Stopped

_CHUNK = 10_000
_SHARD = 1000
_FINGERPRINT_BYTES = 300  # of a cell with four sites
_PROVENANCE = '{"device": "none", "versions": {}}'
_FCC = ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_CANDIDATE = (
    *("id", "season", "batch", "shard", "arrival", "formula", "content_hash", "relaxation"),
    *("state", "reason", "failed_in", "n_atoms", "changed_at", "attempts"),
)
_DETAIL = ("candidate", "file", "block", "line", "format", "offset", "length", "sentence", "geometry")
_FACT = (
    *("id", "initial_hash", "scale", "made_for", "formula", "n_sites", "energy_per_atom"),
    *("stopped", "steps", "seconds", "note", "provenance", "created_at", "pearson_symbol", "prototype_label"),
)
_GEOMETRY = ("relaxation", "crystal", "forces", "stress", "history")
_INITIAL = ("season", "candidate", "key", "n_atoms", "shortest", "contrast", "fourth", "packed")
_RELAXED = ("relaxation", "key", "packed")


def add_rows(member: Membership, count: int, *, seed: int) -> None:
    """So many more candidates, relaxed, whose turn it is next."""
    season = member.season
    pairs = _pairs(season, count, seed)
    dice = random.Random(seed)
    while some := list(islice(pairs, _CHUNK)):
        with transaction.atomic():
            _insert(member, some, dice)


def _pairs(season: Season, count: int, seed: int) -> Iterator[tuple[str, float]]:
    """Formulas of the release's elements, and eV/atom."""
    run = Run.objects.select_related("release").get(official_for=season)
    known = {
        formula.rstrip("0123456789"): energy
        for formula, energy in run.release.phases.values_list("formula", "energy_per_atom")
    }
    made = make(count + count // 2 + 1000, seed=seed)
    drawn = {phase.species_at_sites[0]: phase.energy_per_atom for phase in made.release.phases}
    found = zip(made.formulas, made.energies_per_atom, strict=True)
    shifted = ((text, _shifted(text, energy, drawn, known)) for text, energy in found)
    return islice(((text, energy) for text, energy in shifted if energy is not None), count)


def _shifted(text: str, energy: float, drawn: Mapping[str, float], known: Mapping[str, float]) -> float | None:
    """With the same formation energy, from other elements; None where the release lacks one."""
    amounts = {SYMBOLS[number - 1]: amount for number, amount in Formula.parse(text).amounts}
    if not amounts.keys() <= known.keys():
        return None
    moved = sum(amount * (known[symbol] - drawn[symbol]) for symbol, amount in amounts.items())
    return energy + moved / sum(amounts.values())


def _insert(member: Membership, some: list[tuple[str, float]], dice: random.Random) -> None:
    season, count, now = member.season, len(some), bulk.now()
    Season.objects.filter(pk=season.pk).update(next_arrival=F("next_arrival") + count)
    first = Season.objects.values_list("next_arrival", flat=True).get(pk=season.pk) - count
    shards = _shards(member, count)
    candidates, facts = bulk.reserve_ids(Candidate, count), bulk.reserve_ids(RelaxationFact, count)
    hashes = [f"{dice.getrandbits(256):064x}" for _ in some]
    rows = list(zip(candidates, facts, hashes, some, strict=True))
    cell = Crystal.of(4.0 * np.eye(3), _FCC, [29, 29, 79, 79]).pack()
    batch, scale = shards[0].batch_id, season.scale_id
    found = (Stopped.CONVERGED.value, 40, 0.01, "", _PROVENANCE, now, "", "")
    waits = (CandidateState.RELAXED.value, "", "", 4, now, 0)
    bulk.insert(
        RelaxationFact,
        _FACT,
        [(fact, own, scale, batch, formula, 4, energy, *found) for _, fact, own, (formula, energy) in rows],
    )
    bulk.insert(
        Candidate,
        _CANDIDATE,
        [
            (key, season.pk, batch, shards[number // _SHARD].pk, first + number, formula, own, fact, *waits)
            for number, (key, fact, own, (formula, _)) in enumerate(rows)
        ],
    )
    bulk.insert(
        CandidateDetail,
        _DETAIL,
        [(key, f"{key}.cif", "", 1, "cif", 0, 1, "", cell) for key, _, _, _ in rows],
    )
    bulk.insert(
        RelaxationGeometry,
        _GEOMETRY,
        [(fact, cell, bytes(96), bytes(48), bytes(480)) for _, fact, _, _ in rows],
    )
    initial = ((dice.getrandbits(62), 4, *_places(dice), dice.randbytes(_FINGERPRINT_BYTES)) for _ in rows)
    bulk.insert(
        InitialFingerprint,
        _INITIAL,
        [(season.pk, row[0], *packed) for row, packed in zip(rows, initial, strict=True)],
    )
    bulk.insert(
        RelaxedFingerprint,
        _RELAXED,
        [(fact, f"{formula}:4", dice.randbytes(_FINGERPRINT_BYTES)) for _, fact, _, (formula, _) in rows],
    )


def _places(dice: random.Random) -> tuple[float, float, float]:
    return dice.random(), dice.random(), dice.random()


def _shards(member: Membership, count: int) -> list[Shard]:
    number = (Batch.objects.aggregate(last=Max("pk"))["last"] or 0) + 1
    batch = Batch.objects.create(
        season=member.season,
        owner=member,
        sha256=f"{number:064x}",
        file_name="made-up.zip",
        n_bytes=1,
        n_counted=count,
        n_found=count,
        method="made up",
        licence="CC BY 4.0",
        submitted_at=timezone.now(),
        state=BatchState.READ,
    )
    numbers = range((count + _SHARD - 1) // _SHARD)
    return [Shard.objects.create(batch=batch, number=n, sha256="", state=ShardState.PARSED) for n in numbers]
