"""Relaxations that were made on other machines become facts, once they were held against what was ordered.

A file is an organiser's, yet nothing in it is taken for granted: whatever does not follow from this installation's own
structures, scale and settings is refused in a sentence.
"""

import logging
import random
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from philately.domain import relaxations
from philately.domain.audit_log import Deed, record
from philately.domain.bells import ring_relax
from philately.domain.files import chunks
from philately.domain.judges import accepted_values, loaded, settings_of
from philately.domain.transitions import ids
from philately.models import Candidate, Scale, User
from validation.crystal import Crystal
from validation.flight import Ended, Failed, relax_batch
from validation.relaxation import Relaxation, Stopped
from validation.scales import judge_identity, scale_digest
from validation.shard_checks import Implausible, canary_of, relaxation_of
from validation.shard_files import Results

log = logging.getLogger(__name__)

AGREEMENT_EV_PER_ATOM = 0.002
_ASKED = 500  # rows a statement

Row = Mapping[str, Any]


class ImportRefused(Exception):
    """A file of which nothing is taken; the message says why."""


@dataclass(slots=True)
class Taken:
    """What became of a file's rows. refused and failed: (id, sentence); of the failed there was no relaxation.

    verified: (id, eV/atom there, eV/atom here) of those that were relaxed again; nan where they exploded.
    """

    new: int = 0
    known: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    verified: list[tuple[str, float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Import:
    """A row that may become a fact. candidate: one that starts like it; initial: its crystal."""

    id: str
    candidate: Candidate
    initial: Crystal
    relaxation: Relaxation
    provenance: dict[str, Any]


def import_results(results: Results, *, verify: int = 0, by: User | None = None, file: str = "") -> Taken:
    """Make facts of a relaxed shard's rows; those that are facts already stay as they are, so it may be done again.

    Relax workers are rung for, and find the facts before they relax. verify: so many structures, drawn by chance, are
    relaxed here before anything is written. Raises ImportRefused.
    """
    scale = _scale_of(results)
    _check_canaries(results, scale)
    taken = Taken()
    imports = list(_imports(results, scale, taken))
    if verify and imports:
        taken.verified = _verified(imports, scale, verify)
    for one in imports:
        _save(one, taken)
    if taken.new or taken.known:
        ring_relax(scale)
    with transaction.atomic():  # each relaxation was a transaction of its own; stopped in between, it is done again
        told = {"new": taken.new, "known": taken.known, "refused": len(taken.refused), "failed": len(taken.failed)}
        record(Deed.IMPORT_SHARDS, by=by, parameters={"file": file, "scale": scale.digest}, outcome=told)
    return taken


def _scale_of(results: Results) -> Scale:
    digest = scale_digest(results.scale)
    scale = Scale.objects.filter(digest=digest).first()
    if scale is None:
        judge = results.scale.get("judge")
        raise ImportRefused(f"no season here is judged on its scale {digest[:12]} (judge {judge})")
    return scale


def _check_canaries(results: Results, scale: Scale) -> None:
    """Whoever made it must have shown what is expected of this judge here."""
    accepted = accepted_values(judge_identity(scale.identity))
    for provenance in results.provenances:
        try:
            canary = canary_of(provenance, scale.judge, scale.model, scale.identity["elements"], accepted)
        except Implausible as error:
            raise ImportRefused(str(error)) from error
        if not canary.passed:
            raise ImportRefused(f"the judge that made it is refused, {canary.problem}")


def _imports(results: Results, scale: Scale, taken: Taken) -> Iterator[_Import]:
    """The rows that may become facts, each crystal once; what became of the others is noted."""
    settings, seen = settings_of(scale), set[str]()
    for rows in chunks(list(results.rows), _ASKED):
        hashes = {str(row["initial_hash"]) for row in rows}
        seen |= relaxations.known_hashes(scale.pk, hashes)
        candidates = _candidates(scale, rows)
        for row in rows:
            initial_hash = str(row["initial_hash"])
            if row["error"] is not None:
                taken.failed.append((str(row["id"]), str(row["error"])))
            elif initial_hash in seen:
                taken.known += 1
            elif initial_hash not in candidates:
                taken.refused.append((str(row["id"]), "no structure here starts like it"))
            else:
                candidate = candidates[initial_hash]
                try:
                    initial = Crystal.unpack(candidate.detail.geometry or b"")
                    relaxation = relaxation_of(row, initial, settings)
                except Implausible as error:
                    taken.refused.append((str(row["id"]), str(error)))
                    continue
                seen.add(initial_hash)
                provenance = {**results.provenances[row["made_by"]], "shard": results.shard}
                yield _Import(str(row["id"]), candidate, initial, relaxation, provenance)


def _candidates(scale: Scale, rows: Sequence[Row]) -> dict[str, Candidate]:
    """One for each initial structure, by content hash: the earliest, whose owner it counts for. Formulas are asked for
    because there is an index of them."""
    found = Candidate.objects.filter(
        season__in=scale.seasons.values_list("pk", flat=True),
        formula__in={str(row["formula"]) for row in rows},
        content_hash__in={str(row["initial_hash"]) for row in rows},
    )
    return {candidate.content_hash: candidate for candidate in found.select_related("season", "detail").order_by("-pk")}


def _verified(imports: Sequence[_Import], scale: Scale, count: int) -> list[tuple[str, float, float]]:
    """Raises ImportRefused where one of them ends elsewhere here."""
    try:
        judge, _ = loaded(scale.pk)
    except Exception as error:
        raise ImportRefused(f"nothing can be relaxed again here: {error}") from error
    sample = random.SystemRandom().sample(imports, min(count, len(imports)))  # nobody foresees which
    drawn: dict[Hashable, _Import] = dict(enumerate(sample))
    ends = relax_batch(((key, one.initial) for key, one in drawn.items()), judge, settings_of(scale))
    compared = [_compared(drawn[end.key], end) for end in ends]
    if apart := [sentence for _, sentence in compared if sentence]:
        raise ImportRefused(f"relaxed again here, {'; '.join(apart)}")
    return [figures for figures, _ in compared]


def _compared(one: _Import, end: Ended) -> tuple[tuple[str, float, float], str]:
    """The two energies, and what is wrong with them, empty where nothing is."""
    if isinstance(end, Failed):
        raise ImportRefused(f"{one.id} cannot be relaxed again here: {type(end.error).__name__}: {end.error}")
    there, here = one.relaxation, end.relaxation
    figures = (one.id, there.energy_per_atom, here.energy_per_atom)
    if Stopped.EXPLODED in (there.stopped, here.stopped):
        same = there.stopped is here.stopped
        return figures, "" if same else f"{one.id} ends as {here.stopped.value} and not as {there.stopped.value}"
    if abs(there.energy_per_atom - here.energy_per_atom) > AGREEMENT_EV_PER_ATOM:
        return figures, f"{one.id} has {here.energy_per_atom:.4f} and not {there.energy_per_atom:.4f} eV/atom"
    return figures, ""


def _save(one: _Import, taken: Taken) -> None:
    """The only place where the faults of a single row are caught."""
    try:
        relaxations.save([(one.candidate, one.relaxation)], one.candidate.season.scale_id, one.provenance)
        taken.new += 1
    except Exception as error:
        told = ids(one.candidate)
        log.exception("taking the relaxation of candidate %s from a shard failed", one.candidate.pk, extra=told)
        taken.refused.append((one.id, f"{type(error).__name__}: {error}"))
