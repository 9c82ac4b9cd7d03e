"""The symmetry that a CIF states: which operations make its listed sites the whole cell."""

from __future__ import annotations

import re
from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from validation.rules import Reason, Rejected

MAX_OPERATIONS = 192  # of F m -3 m; no space group has more in its conventional cell
MERGE_ANG = 0.05  # images of one site closer than this are one atom on a special position
_METRIC_TOLERANCE = 0.02  # of the squared lengths; files round their cells, but a cubic group needs a cubic cell
_TRIPLET = re.compile(r"[xyzXYZ0-9+\-*/., ]{5,64}")
_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_NAMES = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_H-M_full")
_HALL = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
_NUMBERS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
_ORIGINS = {"S": ":1", "Z": ":2"}  # how the ICSD writes the two origins


@dataclass(frozen=True, slots=True)
class Operations:
    """x → rotations @ x + translations, in fractions of the cell; shapes (m, 3, 3) and (m, 3)."""

    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]

    @property
    def is_trivial(self) -> bool:
        return len(self.rotations) == 1

    def images(self, frac: NDArray[np.float64]) -> NDArray[np.float64]:
        """Images of each site, wrapped into the cell, shape (n, m, 3)."""
        turned = np.einsum("mij,nj->nmi", self.rotations, frac)
        return np.asarray((turned + self.translations) % 1.0, dtype=np.float64)


def read_operations(block: gemmi.cif.Block, lattice: NDArray[np.float64]) -> Operations:
    """The operations listed; else those of the Hall or Hermann-Mauguin name; else those of the group's number.

    A name or a number alone means the standard setting: unique axis b, second origin, hexagonal axes where the cell has
    them. Raises Rejected(BAD_SYMMETRY) for what contradicts itself or the cell.
    """
    listed = _listed_group(block)
    named = _named_group(block, lattice, required=listed is None)
    numbered = _numbered_group(block)
    group = listed or (gemmi.GroupOps(list(named.operations())) if named else None) or _hall_group(block)
    if group is None and numbered is not None:
        group = numbered.operations()
    if group is None:
        group = gemmi.GroupOps([gemmi.Op("x,y,z")])
    _refuse_contradiction(group, listed is not None, named, numbered)
    operations = _as_arrays(group)
    _refuse_wrong_cell(operations, lattice)
    return operations


def first_value(block: gemmi.cif.Block, tags: tuple[str, ...]) -> str:
    """The first of the tags that has a value, unquoted; empty where none has."""
    for tag in tags:
        values = block.find_values(tag)
        if len(values) and not gemmi.cif.is_null(values[0]):
            return str(gemmi.cif.as_string(values[0])).strip()
    return ""


def _listed_group(block: gemmi.cif.Block) -> gemmi.GroupOps | None:
    for tag in _OPERATIONS:
        values = block.find_values(tag)
        if len(values) > MAX_OPERATIONS:
            detail = f"the file lists {len(values)} symmetry operations; no space group has more than {MAX_OPERATIONS}."
            raise Rejected(Reason.BAD_SYMMETRY, detail)
        if len(values):
            return _closed_group([_operation(gemmi.cif.as_string(value), n) for n, value in enumerate(values, 1)])
    return None


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
    """The operations as a group; Rejected where two of them, one after the other, give one that is not listed."""
    distinct = {operation.wrap().triplet() for operation in operations}
    group = gemmi.GroupOps([gemmi.Op(triplet) for triplet in sorted(distinct)])
    try:
        group.add_missing_elements()
        complete = len(group.sym_ops) * len(group.cen_ops)
    except RuntimeError:  # gemmi's word for a group that never closes
        complete = -1
    if complete != len(distinct):
        expected = f"their products make {complete}" if complete > 0 else "their products never end"
        detail = f"the {len(distinct)} symmetry operations listed are not a space group: {expected}."
        raise Rejected(Reason.BAD_SYMMETRY, detail)
    return group


def _named_group(block: gemmi.cif.Block, lattice: NDArray[np.float64], *, required: bool) -> gemmi.SpaceGroup | None:
    name = first_value(block, _NAMES)
    if not name:
        return None
    alpha, gamma = _angle(lattice[1], lattice[2]), _angle(lattice[0], lattice[1])
    for spelling in _spellings(name):
        group = gemmi.find_spacegroup_by_name(spelling, alpha, gamma, "2")
        if group is not None:
            return group
    if required and not first_value(block, _HALL):
        detail = f"the space group {name[:40]!r} is not known; please list its symmetry operations."
        raise Rejected(Reason.BAD_SYMMETRY, detail)
    return None


def _spellings(name: str) -> list[str]:
    """The name as written, and as files also write it: ``P2_1/c``, ``P2(1)/c``, ``F d -3 m Z``."""
    plain = re.sub(r"[_()]", "", name)
    origin = _ORIGINS.get(plain[-1:].upper(), "")
    return [name, plain, *([plain[:-1].strip(" :") + origin] if origin else [])]


def _hall_group(block: gemmi.cif.Block) -> gemmi.GroupOps | None:
    name = first_value(block, _HALL)
    if not name:
        return None
    try:
        return gemmi.symops_from_hall(name[:64])
    except (RuntimeError, ValueError) as error:
        detail = f"the Hall symbol {name[:40]!r} is not known; please list the symmetry operations."
        raise Rejected(Reason.BAD_SYMMETRY, detail) from error


def _numbered_group(block: gemmi.cif.Block) -> gemmi.SpaceGroup | None:
    text = first_value(block, _NUMBERS)
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= 230:
        detail = f"the space group number {text[:40]!r} is none; the numbers go from 1 to 230."
        raise Rejected(Reason.BAD_SYMMETRY, detail)
    return gemmi.get_spacegroup_reference_setting(int(text))


def _refuse_contradiction(
    group: gemmi.GroupOps, listed: bool, named: gemmi.SpaceGroup | None, numbered: gemmi.SpaceGroup | None
) -> None:
    """A name and a number each state a type of group; all that is stated must be of one type."""
    if named and numbered and named.number != numbered.number:
        detail = f"the file names the space group {named.hm} (number {named.number}) but the number {numbered.number}."
        raise Rejected(Reason.BAD_SYMMETRY, detail)
    stated = named or numbered
    if stated is None:
        return
    found = gemmi.find_spacegroup_by_ops(group)
    n_found = len(group.sym_ops) * len(group.cen_ops)
    n_points, n_stated = len(group.sym_ops), len(stated.operations().sym_ops)
    if (found is not None and found.number != stated.number) or n_points != n_stated:
        what = "lists" if listed else "implies"
        which = f"those of {found.hm} (number {found.number})" if found is not None else "of no such group"
        detail = (
            f"the file names the space group {stated.hm} (number {stated.number}) but {what} {n_found} symmetry "
            f"operation{'s' if n_found != 1 else ''}, {which}."
        )
        raise Rejected(Reason.BAD_SYMMETRY, detail)


def _as_arrays(group: gemmi.GroupOps) -> Operations:
    every = sorted(group, key=lambda operation: (operation.triplet() != "x,y,z", operation.triplet()))
    rotations = np.array([operation.rot for operation in every], dtype=np.float64) / gemmi.Op.DEN
    translations = np.array([operation.tran for operation in every], dtype=np.float64) / gemmi.Op.DEN
    return Operations(rotations, translations)


def _refuse_wrong_cell(operations: Operations, lattice: NDArray[np.float64]) -> None:
    """Each operation must keep lengths and angles: with metric G, Rᵀ G R = G."""
    metric = lattice @ lattice.T
    turned = np.einsum("mji,jk,mkl->mil", operations.rotations, metric, operations.rotations)
    scale = np.sqrt(np.outer(metric.diagonal(), metric.diagonal()))
    if (np.abs(turned - metric) > _METRIC_TOLERANCE * scale).any():
        detail = f"the cell does not have the symmetry of the {len(operations.rotations)} operations that it is given."
        raise Rejected(Reason.BAD_SYMMETRY, detail)


def _angle(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Degrees."""
    cosine = first @ second / np.sqrt((first @ first) * (second @ second))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
