"""The symmetry that a CIF states: which operations make its listed sites the whole cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import gemmi
import numpy as np
from gemmi.cif import as_string, is_null
from numpy.typing import NDArray

from validation.rules import Reason, Rejected

MAX_OPERATIONS = 192  # of F m -3 m; no space group has more in its conventional cell
_MAX_NAME = 64
_METRIC_TOLERANCE = 0.02  # of the squared lengths; files round their cells, but a cubic group needs a cubic cell
_TRIPLET = re.compile(r"[xyzXYZ0-9+\-*/., ]{5,64}")
_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_NAMES = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_H-M_full")
_HALLS = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
_NUMBERS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
_ORIGINS = {"S": ":1", "Z": ":2"}  # how the ICSD writes the two origins


@dataclass(frozen=True, slots=True)
class Operations:
    """x → rotations @ x + translations, in fractions of the cell; shapes (m, 3, 3) and (m, 3).

    misfit: shape (9 k, 9), by which a metric, flattened, changes under each of the k distinct rotations.
    """

    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]
    misfit: NDArray[np.float64]

    @property
    def is_trivial(self) -> bool:
        return len(self.rotations) == 1


@dataclass(frozen=True, slots=True)
class _Stated:
    """All that a file says about its symmetry, under each of the tags that may say it; nothing said twice."""

    listed: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]
    halls: tuple[str, ...]
    numbers: tuple[str, ...]
    alpha_gamma: tuple[float, float]  # degrees; they tell the axes of rhombohedral groups, and are 0 for others


_NOTHING_BUT_P1 = frozenset(
    _Stated(listed, names, (), numbers, (0.0, 0.0))
    for listed in ((), (("x,y,z",),), (("x, y, z",),))
    for names in ((), ("P 1",), ("P1",))
    for numbers in ((), ("1",))
)


def read_operations(block: gemmi.cif.Block, lattice: NDArray[np.float64]) -> Operations:
    """The operations listed; else those of the Hall or Hermann-Mauguin name; else those of the group's number.

    A name or a number alone means the standard setting: unique axis b, second origin, hexagonal axes where the cell has
    them. Raises Rejected(BAD_SYMMETRY) for what contradicts itself or the cell.
    """
    stated = _stated(block, lattice)
    if stated in _NOTHING_BUT_P1:
        return _identity()
    operations = _operations_of(stated)
    _refuse_wrong_cell(operations, lattice)
    return operations


def _stated(block: gemmi.cif.Block, lattice: NDArray[np.float64]) -> _Stated:
    names = _values(block, _NAMES)
    rhombohedral = any(name[:1] in "Rr" for name in names)
    return _Stated(
        listed=_listed(block),
        names=names,
        halls=_values(block, _HALLS),
        numbers=_values(block, _NUMBERS),
        alpha_gamma=(_angle(lattice[1], lattice[2]), _angle(lattice[0], lattice[1])) if rhombohedral else (0.0, 0.0),
    )


def _values(block: gemmi.cif.Block, tags: tuple[str, ...]) -> tuple[str, ...]:
    """The first value of each tag that has one, unquoted and cut off where no group's name is as long."""
    found = []
    for tag in tags:
        column = block.find_values(tag)
        if len(column) and not is_null(column[0]):
            value = as_string(column[0]).strip()[:_MAX_NAME]
            if value and value not in found:
                found.append(value)
    return tuple(found)


def _listed(block: gemmi.cif.Block) -> tuple[tuple[str, ...], ...]:
    found = []
    for tag in _OPERATIONS:
        column = block.find_values(tag)
        if len(column) > MAX_OPERATIONS:
            detail = f"the file lists {len(column)} symmetry operations; no space group has more than {MAX_OPERATIONS}."
            raise Rejected(Reason.BAD_SYMMETRY, detail, value=len(column), limit=MAX_OPERATIONS)
        if len(column):
            found.append(tuple([as_string(column[row]) for row in range(len(column))]))
    return tuple(found)


@lru_cache(maxsize=256)  # few of the groups make most of the crystals; 50 kB for the largest
def _operations_of(stated: _Stated) -> Operations:
    groups = [
        _closed_group([_operation(text, number) for number, text in enumerate(texts, 1)]) for texts in stated.listed
    ]
    if len(groups) == 2 and _triplets(groups[0]) != _triplets(groups[1]):
        raise Rejected(Reason.BAD_SYMMETRY, f"{' and '.join(_OPERATIONS)} list different symmetry operations.")
    listed = groups[0] if groups else None
    types = _named_types(stated, required=listed is None)
    halls = _hall_groups(stated, required=listed is None)
    numbered = [_numbered_type(text) for text in stated.numbers]
    _refuse_two_types([*types, *numbered])
    candidates = [listed, *(known.operations() for known in types), *halls, *(known.operations() for known in numbered)]
    group = next((candidate for candidate in candidates if candidate is not None), None)
    if group is None:
        return _identity()
    _refuse_other_type(group, next(iter([*types, *numbered]), None), listed=listed is not None)
    for hall in halls:
        _refuse_other_type(group, gemmi.find_spacegroup_by_ops(hall), listed=listed is not None)
    return _as_arrays(group)


@cache
def _identity() -> Operations:
    return _as_arrays(gemmi.GroupOps([gemmi.Op("x,y,z")]))


def _operation(text: str, number: int) -> gemmi.Op:
    try:
        operation = gemmi.Op(text) if _TRIPLET.fullmatch(text) else None
    except (RuntimeError, ValueError):
        operation = None
    if operation is None or abs(operation.det_rot()) != gemmi.Op.DEN**3:
        detail = f"symmetry operation {number}, {text[:40]!r}, is none; one reads like '-x, y+1/2, -z'."
        raise Rejected(Reason.BAD_SYMMETRY, detail)
    return operation


def _closed_group(operations: list[gemmi.Op]) -> gemmi.GroupOps:
    """The operations as a group; Rejected where two of them, one after the other, give one that is not listed.

    gemmi takes one operation for each rotation, and the translations without one: what else is listed it passes over.
    """
    distinct = {operation.wrap().triplet() for operation in operations}
    group = gemmi.GroupOps([gemmi.Op(triplet) for triplet in sorted(distinct)])
    try:
        group.add_missing_elements()
        complete = len(group.sym_ops) * len(group.cen_ops)
    except RuntimeError:  # gemmi's word for a group that never closes
        complete = -1
    wrong = None
    if complete < 0:
        wrong = "their products never end"
    elif complete != len(distinct):
        wrong = f"their products make {complete}"
    elif strays := distinct - _triplets(group):
        wrong = f"{min(strays)!r} does not go with the others"
    if wrong:
        detail = f"the {len(distinct)} symmetry operations listed are not a space group: {wrong}."
        raise Rejected(Reason.BAD_SYMMETRY, detail)
    return group


def _triplets(group: gemmi.GroupOps) -> set[str]:
    return {operation.triplet() for operation in group}


def _named_types(stated: _Stated, *, required: bool) -> list[gemmi.SpaceGroup]:
    found = [group for group in (_named_type(name, *stated.alpha_gamma) for name in stated.names) if group is not None]
    if stated.names and not found and required and not stated.halls:
        detail = f"the space group {stated.names[0][:40]!r} is not known; please list its symmetry operations."
        raise Rejected(Reason.BAD_SYMMETRY, detail)
    return found


def _named_type(name: str, alpha: float, gamma: float) -> gemmi.SpaceGroup | None:
    for spelling in _spellings(name):
        group = gemmi.find_spacegroup_by_name(spelling, alpha, gamma, "2")
        if group is not None:
            return group
    return None


def _spellings(name: str) -> list[str]:
    """The name as written, and as files also write it: ``P2_1/c``, ``P2(1)/c``, ``F d -3 m Z``."""
    plain = re.sub(r"[_()]", "", name)
    origin = _ORIGINS.get(plain[-1:].upper(), "")
    return [name, plain, *([plain[:-1].strip(" :") + origin] if origin else [])]


def _hall_groups(stated: _Stated, *, required: bool) -> list[gemmi.GroupOps]:
    found = []
    for name in stated.halls:
        try:
            found.append(gemmi.symops_from_hall(name))
        except (RuntimeError, ValueError) as error:
            if required:
                detail = f"the Hall symbol {name[:40]!r} is not known; please list the symmetry operations."
                raise Rejected(Reason.BAD_SYMMETRY, detail) from error
    return found


def _numbered_type(text: str) -> gemmi.SpaceGroup:
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= 230:
        detail = f"the space group number {text[:40]!r} is none; the numbers go from 1 to 230."
        raise Rejected(Reason.BAD_SYMMETRY, detail)
    return gemmi.get_spacegroup_reference_setting(int(text))


def _refuse_two_types(stated: list[gemmi.SpaceGroup]) -> None:
    """Each name and number states a type of group; all that is stated must be of one type."""
    for other in stated[1:]:
        if other.number != stated[0].number:
            detail = (
                f"the file names the space group {stated[0].hm} (number {stated[0].number}) "
                f"but also {other.hm} (number {other.number})."
            )
            raise Rejected(Reason.BAD_SYMMETRY, detail)


def _refuse_other_type(group: gemmi.GroupOps, stated: gemmi.SpaceGroup | None, *, listed: bool) -> None:
    if stated is None:
        return
    setting = stated.operations()
    if group == setting:
        return
    found = _type_number(group)
    n_points, n_stated = len(group.sym_ops), len(setting.sym_ops)
    if (found is not None and found != stated.number) or n_points != n_stated:
        count = n_points * len(group.cen_ops)
        hm = gemmi.get_spacegroup_reference_setting(found).hm if found else ""
        which = f"those of {hm} (number {found})" if found else "of no such group"
        detail = (
            f"the file names the space group {stated.hm} (number {stated.number}) but "
            f"{'lists' if listed else 'implies'} {count} symmetry operation{'s' if count != 1 else ''}, {which}."
        )
        raise Rejected(Reason.BAD_SYMMETRY, detail)


def _type_number(group: gemmi.GroupOps) -> int | None:
    """International number: by gemmi's table, else, for uncommon settings, by spglib; None where neither can tell."""
    known: gemmi.SpaceGroup | Any = gemmi.find_spacegroup_by_ops(group)  # None where its table has no such setting
    if known is not None:
        return int(known.number)
    import spglib  # late: rarely needed

    rotations, translations = _parts(group)
    try:
        found = spglib.get_spacegroup_type_from_symmetry(rotations.astype("intc"), translations)
    except spglib.SpglibError:  # what newer versions raise where older ones return None
        return None
    return None if found is None else int(found.number)


def _as_arrays(group: gemmi.GroupOps) -> Operations:
    rotations, translations = _parts(group)
    turns = np.array([operation.rot for operation in group.sym_ops], dtype=np.float64) / gemmi.Op.DEN
    change = np.einsum("kji,kml->kiljm", turns, turns).reshape(-1, 9, 9) - np.eye(9)  # of G to Rᵀ G R - G, flattened
    return Operations(rotations, translations, change.reshape(-1, 9))


def _parts(group: gemmi.GroupOps) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotations and translations, the identity first, then in alphabetical order of the triplets."""
    named = {operation.triplet(): operation for operation in group}
    every = [named[triplet] for triplet in sorted(named, key=lambda triplet: (triplet != "x,y,z", triplet))]
    rotations = np.array([operation.rot for operation in every], dtype=np.float64) / gemmi.Op.DEN
    return rotations, np.array([operation.tran for operation in every], dtype=np.float64) / gemmi.Op.DEN


def _refuse_wrong_cell(operations: Operations, lattice: NDArray[np.float64]) -> None:
    """Each operation must keep lengths and angles: with metric G, Rᵀ G R = G."""
    metric = lattice @ lattice.T
    lengths = np.sqrt(metric.diagonal())
    change = np.abs(operations.misfit @ metric.ravel()).reshape(-1, 9).max(axis=0)
    if (change > _METRIC_TOLERANCE * np.outer(lengths, lengths).ravel()).any():
        detail = f"the cell does not have the symmetry of the {len(operations.rotations)} operations that it is given."
        raise Rejected(Reason.BAD_SYMMETRY, detail)


def _angle(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Degrees."""
    cosine = first @ second / np.sqrt((first @ first) * (second @ second))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
