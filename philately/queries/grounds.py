"""What formation energies and hulls of a release begin with."""

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache

from hull.arrays import EntryArrays
from hull.entries import ATOMIC_NUMBER, SYMBOLS, Entry, Formula
from hull.reference import Coverage
from hull.store import HullStore
from philately.models import Release, ReleasePhase
from validation.corrections import corrections_of
from validation.formation import Grounds

Vertices = Mapping[str, tuple[tuple[Formula, float], ...]]


def grounds_of(release: Release) -> Grounds:
    """What formation energies are measured from: the lowest phase of each element in the release. Needs ``scale``."""
    rows = ReleasePhase.objects.filter(release=release, formula__in=SYMBOLS)
    lowest = rows.order_by("-energy_per_atom").values_list("formula", "energy_per_atom")
    elemental = {ATOMIC_NUMBER[symbol]: energy for symbol, energy in lowest}  # the last one is the lowest
    return Grounds(Coverage(release.coverage), elemental, corrections_of(release.scale.identity))


@lru_cache(maxsize=8)
def vertices_of(release_id: int) -> Vertices:
    """The phases on the release's own hull, by chemical system; energies in eV/atom. A release never changes."""
    rows = list(ReleasePhase.objects.filter(release=release_id).values_list("number", "formula", "energy_per_atom"))
    entries = {number: Entry(number, Formula.parse(formula), energy) for number, formula, energy in rows}
    hull = HullStore("release")
    hull.insert_arrays(EntryArrays.of(entries[number] for number in sorted(entries)))
    found: dict[str, list[tuple[Formula, float]]] = defaultdict(list)
    for number in hull.stable_entries():
        entry = entries[number]
        found[entry.formula.chemical_system].append((entry.formula, entry.energy_per_atom))
    return {system: tuple(phases) for system, phases in found.items()}
