"""A season full of relaxed candidates that nobody relaxed: facts made as arrays and written in bulk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from django.db import transaction
from django.utils import timezone

from benchmark.workload import ELEMENTS, Floats, Keys, Workload, composition_keys, take
from hull.arrays import EntryArrays
from hull.entries import SYMBOLS, Formula
from hull.reference import Coverage, Release, write_release
from philately.domain import bulk
from philately.domain.releases import import_release
from philately.domain.seasons import SeasonPlan, join, open_season
from philately.models import Batch, Candidate, Membership, RelaxationFact, Season, Shard, User
from philately.states import BatchState, CandidateState, ShardState
from validation.crystal import Crystal
from validation.references import reference_phase
from validation.relaxation import Stopped
from validation.rules import RelaxationSettings

APART_EV = 0.020  # eV/atom between two energies of one formula, so that nothing has to be matched
STABLE_SHARE = 0.07
N_MEMBERS = 50
_CHUNK = 10_000
_SCALE = {"judge": "none: energies are drawn", "relaxation": asdict(RelaxationSettings())}
_FACT = (
    *("id", "initial_hash", "scale", "formula", "n_sites", "stopped", "energy_per_atom", "steps", "seconds", "note"),
    *("provenance", "created_at", "pearson_symbol", "prototype_label"),
)
_CANDIDATE = (
    *("season", "batch", "shard", "arrival", "state", "reason", "failed_in", "formula", "content_hash", "n_atoms"),
    *("relaxation", "changed_at", "attempts"),
)


@dataclass(frozen=True, slots=True)
class Made:
    """What is to be submitted: reduced formulas and eV/atom; ``entries`` are the same formulas as arrays."""

    release: Release
    formulas: list[str]
    energies_per_atom: list[float]
    entries: EntryArrays


def make(count: int, *, seed: int = 0) -> Made:
    """Candidates in order of arrival, none of them an element, and the release that they are judged against."""
    workload = Workload(max(count, 1000) + len(ELEMENTS), seed=seed)
    entries = take(workload.entries(), slice(len(ELEMENTS), len(ELEMENTS) + count))
    return Made(_release(workload), _formulas(entries), _energies(workload, entries, seed).tolist(), entries)


def fill(made: Made, folder: Path) -> Season:
    """A season in which all of them wait for their turn."""
    season = opened(made, folder, slug="benchmark")
    shards = [_shard(join(season, User.objects.create_user(f"member-{n}"))) for n in range(N_MEMBERS)]
    rows = enumerate(zip(made.formulas, made.energies_per_atom, strict=True), start=1)
    while some := list(islice(rows, _CHUNK)):
        with transaction.atomic():
            bulk.insert(RelaxationFact, _FACT, list(_facts(season, some)))
            bulk.insert(Candidate, _CANDIDATE, list(_candidates(season, shards, some)))
    Season.objects.filter(pk=season.pk).update(next_arrival=len(made.formulas) + 1)
    return season


def opened(made: Made, folder: Path, *, slug: str) -> Season:
    """A season that is judged against the release, with nothing in it."""
    file = folder / f"{slug}.parquet"
    write_release(made.release, file)
    return open_season(SeasonPlan(slug=slug, name=slug.capitalize(), release=import_release(file)[0]))


def _release(workload: Workload) -> Release:
    phases = []
    for row, element in enumerate(ELEMENTS.tolist(), start=1):
        cell = Crystal.of(np.eye(3) * 3.0, [[0.0, 0.0, 0.0]], [element])
        phases.append(reference_phase(row, cell, float(workload.reference[element]), label="made up"))
    return Release("elements of the workload", Coverage.ELEMENTS, _SCALE, "workload", tuple(phases))


def _formulas(entries: EntryArrays) -> list[str]:
    pairs = zip(entries.atomic_numbers.tolist(), entries.amounts.tolist(), strict=True)
    return [
        str(Formula.of({SYMBOLS[n - 1]: amount for n, amount in zip(numbers, amounts, strict=True) if amount}))
        for numbers, amounts in pairs
    ]


def _energies(workload: Workload, entries: EntryArrays, seed: int) -> Floats:
    """eV/atom. The workload's own compounds nearly all lie on the hull while there are few of them; so that a small
    season costs what a large one does, most are put a little above their elements here, and a few below."""
    dice = np.random.default_rng([seed, 3])
    count = len(entries.entry_ids)
    below, above = -dice.exponential(0.15, count), dice.uniform(0.0, 0.09, count)
    formation = np.where(dice.random(count) < STABLE_SHARE, below, above)
    fractions = entries.amounts / entries.amounts.sum(axis=1, keepdims=True)
    references = np.nan_to_num(workload.reference)[entries.atomic_numbers]
    return _apart((fractions * references).sum(axis=1) + formation, composition_keys(entries))


def _apart(energies: Floats, keys: Keys) -> Floats:
    """The energies, raised where two of a composition are closer than APART_EV."""
    raised, before = energies.copy(), -1
    for row in np.lexsort((energies, keys)).tolist():
        if before >= 0 and keys[before] == keys[row]:
            raised[row] = max(raised[row], raised[before] + APART_EV)
        before = row
    return raised


def _shard(member: Membership) -> Shard:
    batch = Batch.objects.create(
        season=member.season,
        owner=member,
        sha256=f"{member.pk:064x}",
        file_name="made-up.zip",
        n_bytes=1,
        method="made up",
        licence="CC BY 4.0",
        submitted_at=timezone.now(),
        state=BatchState.READ,
    )
    return Shard.objects.create(batch=batch, number=0, stored_as="", sha256="", state=ShardState.PARSED)


def _facts(season: Season, some: list[tuple[int, tuple[str, float]]]) -> Iterator[bulk.Row]:
    stopped, now = Stopped.CONVERGED.value, bulk.now()
    for number, (formula, energy) in some:
        yield number, f"{number:064x}", season.scale_id, formula, 4, stopped, energy, 0, 0.0, "", "{}", now, "", ""


def _candidates(season: Season, shards: list[Shard], some: list[tuple[int, tuple[str, float]]]) -> Iterator[bulk.Row]:
    state, now = CandidateState.RELAXED.value, bulk.now()
    for number, (formula, _) in some:
        shard = shards[number % len(shards)]
        yield season.pk, shard.batch_id, shard.pk, number, state, "", "", formula, f"{number:064x}", 4, number, now, 0
