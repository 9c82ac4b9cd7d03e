"""The symmetry of phases as columns, and those columns where they were stored before there were any."""

from collections.abc import Callable, Iterator
from typing import TypedDict

from django.db.models import QuerySet

from philately.domain import bulk
from philately.models import RelaxationFact, ReleasePhase, Season
from validation.crystal import Crystal
from validation.spacegroup import symmetry_of

_CHUNK = 500


class SymmetryColumns(TypedDict):
    space_group_number: int | None
    pearson_symbol: str
    prototype_label: str


def symmetry_columns(crystal: Crystal) -> SymmetryColumns:
    """Nothing where no group is found."""
    symmetry = symmetry_of(crystal)
    if symmetry is None:
        return {"space_group_number": None, "pearson_symbol": "", "prototype_label": ""}
    return {
        "space_group_number": symmetry.number,
        "pearson_symbol": symmetry.pearson_symbol,
        "prototype_label": symmetry.label,
    }


def label_stored(season: Season | None, say: Callable[[str], None]) -> int:
    """Look for the symmetry of what was stored without: relaxations and phases of releases, of one season or of all.

    Safe to break off and to run again, beside workers, too. Returns how many phases have a label now that had none.
    """
    facts = RelaxationFact.objects.filter(prototype_label="", energy_per_atom__isnull=False)
    phases = ReleasePhase.objects.filter(prototype_label="")
    if season is not None:
        facts = facts.filter(pk__in=season.candidates.filter(relaxation__isnull=False).values("relaxation"))
        phases = phases.filter(release__in=season.runs.values("release"))
    return _label(facts, "geometry__crystal", "relaxations", say) + _label(
        phases, "geometry", "phases of releases", say
    )


def _label(
    rows: QuerySet[RelaxationFact] | QuerySet[ReleasePhase], geometry: str, what: str, say: Callable[[str], None]
) -> int:
    total, seen, labelled = rows.count(), 0, 0
    for chunk in _chunks(rows, geometry):
        found = [(pk, symmetry_columns(Crystal.unpack(packed))) for pk, packed in chunk]
        done = [(*columns.values(), pk) for pk, columns in found if columns["prototype_label"]]
        bulk.update(rows.model, tuple(SymmetryColumns.__annotations__), done)
        seen += len(chunk)
        labelled += len(done)
        say(f"{what}: {seen} of {total} looked at, {labelled} labelled")
    return labelled


def _chunks(
    rows: QuerySet[RelaxationFact] | QuerySet[ReleasePhase], geometry: str
) -> Iterator[list[tuple[int, bytes]]]:
    last = 0
    while chunk := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", geometry)[:_CHUNK]):
        yield chunk
        last = chunk[-1][0]
