"""When two crystals are one: pymatgen's StructureMatcher decides, in either direction.

The policy has a name, ``rules.MATCHER_VERSION``; whoever changes what matches changes that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from validation.crystal import Crystal
from validation.reduction import LOOSE_SYMPREC_ANG, primitive
from validation.rules import Rules, Tolerances

if TYPE_CHECKING:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core.structure import Structure

_REDUCTIONS_KEPT = (
    2048  # reducing a cell costs several fits; crowded formulas compare the same crystals again and again
)


@dataclass(frozen=True, slots=True)
class KnownPhase:
    """A phase that was placed before. number: its order of acceptance; ties in energy go to the lower one."""

    number: int
    crystal: Crystal
    energy_per_atom: float  # eV


def match_key(crystal: Crystal) -> str:
    """Only crystals of one key can match: the reduced formula, alphabetical."""
    return str(crystal.formula)


def is_twin(a: Crystal, b: Crystal, tolerances: Tolerances) -> bool:
    """Whether two crystals are the same initial structure, so that one relaxation serves both."""
    return a.content_hash == b.content_hash or _matches(a, b, tolerances)


def is_duplicate(a: Crystal, b: Crystal, tolerances: Tolerances) -> bool:
    """Whether two relaxed crystals are one phase; their energies are the caller's business (``first_match``)."""
    return _matches(a, b, tolerances)


def find_twin(crystal: Crystal, earlier: Sequence[tuple[int, Crystal]], tolerances: Tolerances) -> int | None:
    """Number of the first earlier crystal, in the order given, that the crystal is a twin of.

    Equal content hashes are looked for first, since they cost nothing.
    """
    for number, other in earlier:
        if other.content_hash == crystal.content_hash:
            return number
    return next((number for number, other in earlier if is_twin(crystal, other, tolerances)), None)


def first_match(crystal: Crystal, energy_per_atom: float, known: Sequence[KnownPhase], rules: Rules) -> int | None:
    """Number of the known phase that the relaxed crystal duplicates, or None.

    energy_per_atom: eV, on the same scale as those of ``known``. Only phases within the rules' window are fitted,
    nearest energy first, then lowest number; the first that fits is taken.
    """
    near = [
        (abs(phase.energy_per_atom - energy_per_atom), phase.number, phase.crystal)
        for phase in known
        if abs(phase.energy_per_atom - energy_per_atom) <= rules.duplicate_window_ev_per_atom
    ]
    ordered = sorted(near, key=lambda item: item[:2])
    return next((number for _, number, other in ordered if is_duplicate(crystal, other, rules.duplicate)), None)


def _matches(a: Crystal, b: Crystal, tolerances: Tolerances) -> bool:
    """Fit the reduced cells; where either has a smaller cell within the noise, fit those too."""
    if a.formula != b.formula:
        return False
    tight = _reduced(a), _reduced(b)
    if _fits(*tight, tolerances):
        return True
    loose = _loosely_reduced(a, tolerances), _loosely_reduced(b, tolerances)
    if (len(loose[0]), len(loose[1])) == (len(tight[0]), len(tight[1])):
        return False
    return _fits(*loose, tolerances)


def _fits(a: Structure, b: Structure, tolerances: Tolerances) -> bool:
    """In either direction: near its tolerance the matcher's answer depends on which crystal comes first.

    Enantiomorphs fit, because the matcher maps lattices by lengths and angles, which a mirror keeps.
    """
    matcher = _matcher(tolerances)
    return bool(matcher.fit(a, b, skip_structure_reduction=True) or matcher.fit(b, a, skip_structure_reduction=True))


@lru_cache(maxsize=8)
def _matcher(tolerances: Tolerances) -> StructureMatcher:
    from pymatgen.analysis.structure_matcher import StructureMatcher  # late: two seconds that no web process needs

    return StructureMatcher(
        ltol=tolerances.ltol,
        stol=tolerances.stol,
        angle_tol=tolerances.angle_tol,
        scale=tolerances.scale,
        primitive_cell=True,
        attempt_supercell=False,
    )


@lru_cache(maxsize=_REDUCTIONS_KEPT)
def _reduced(crystal: Crystal) -> Structure:
    """What StructureMatcher itself reduces to, kept: Niggli cell, then the primitive one."""
    return crystal.to_structure().get_reduced_structure(reduction_algo="niggli").get_primitive_structure()


def _loosely_reduced(crystal: Crystal, tolerances: Tolerances) -> Structure:
    """Reduced with a symprec that forgives noise, but never more than the matcher's own tolerance of a site."""
    site_tolerance_ang = tolerances.stol * float((crystal.volume / len(crystal)) ** (1 / 3))
    return _reduced_at(crystal, min(LOOSE_SYMPREC_ANG, site_tolerance_ang))


@lru_cache(maxsize=_REDUCTIONS_KEPT)
def _reduced_at(crystal: Crystal, symprec_ang: float) -> Structure:
    return _reduced(primitive(crystal, symprec_ang=symprec_ang))
