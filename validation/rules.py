"""The rules of a season: what is accepted, why something is not, and what a find is worth.

Every limit with its reason stands in docs/rules.md.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

RULES_VERSION = 3  # 1 knew no bond_radii_ratio, 2 no auditors
MATCHER_VERSION = "structure-matcher-either-direction-3"


class Reason(StrEnum):
    """Why a structure was not accepted; the sentence beside it names file, site and limit."""

    NOT_CIF = "NOT_CIF"
    UNREADABLE = "UNREADABLE"
    TOO_LARGE = "TOO_LARGE"
    TOO_SLOW = "TOO_SLOW"
    NO_ATOMS = "NO_ATOMS"
    BAD_CELL = "BAD_CELL"
    BAD_COORDINATES = "BAD_COORDINATES"
    BAD_SYMMETRY = "BAD_SYMMETRY"
    DISORDERED = "DISORDERED"
    UNKNOWN_ELEMENT = "UNKNOWN_ELEMENT"
    ELEMENT_NOT_ALLOWED = "ELEMENT_NOT_ALLOWED"
    TOO_MANY_ATOMS = "TOO_MANY_ATOMS"
    TOO_MANY_ELEMENTS = "TOO_MANY_ELEMENTS"
    ASPECT_RATIO = "ASPECT_RATIO"
    OVERLAPPING_ATOMS = "OVERLAPPING_ATOMS"
    VOLUME = "VOLUME"
    DENSITY = "DENSITY"
    NOT_BULK = "NOT_BULK"
    NOT_CONVERGED = "NOT_CONVERGED"
    EXPLODED = "EXPLODED"
    FORMATION_ENERGY = "FORMATION_ENERGY"
    TWIN = "TWIN"
    DUPLICATE = "DUPLICATE"


class Rejected(Exception):
    """What the submitter can mend: a reason code and one sentence that names the site and the limit.

    detail: it may quote what a stranger wrote, so what does not print becomes ``?``. sites: those that the sentence
    names, counted from 1. value and limit: its two numbers, in its units, where it compares two.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        sites: tuple[int, ...] = (),
        value: float | None = None,
        limit: float | None = None,
    ) -> None:
        detail = printable(detail)
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.sites = sites
        self.value = value
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def printable(text: str) -> str:
    """On one line, and without what databases refuse and terminals obey."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)


@dataclass(frozen=True, slots=True)
class Tolerances:
    """Arguments of pymatgen's StructureMatcher: lengths and sites are fractions, the angle is in degrees."""

    ltol: float
    stol: float
    angle_tol: float
    scale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaxationSettings:
    """How a structure is relaxed: FIRE, cell and positions free. Part of the energy scale's identity."""

    fmax_ev_per_ang: float = 0.03  # largest force *norm* of any atom
    smax_ev_per_ang3: float = 0.001  # largest component of the stress tensor
    max_steps: int = 500
    displacement_ang: float = 0.02  # each atom's start, direction seeded by the content hash
    optimiser: str = "FIRE"

    def digest(self) -> str:
        return _digest(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """What a find is worth."""

    unique: float = 1.0
    unique_per_formula: int = 5
    metastable: float = 3.0
    stable: float = 10.0
    first_of_system: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Version 3. An organiser edits them before a season opens; their digest stands beside every verdict."""

    version: int = RULES_VERSION
    max_atoms: int = 50  # in the primitive cell; the design's 200 is for judges on a GPU
    max_elements: int = 9
    max_aspect_ratio: float = 20.0
    max_text_bytes: int = 1_000_000
    excluded_elements: tuple[str, ...] = ("Ar", "He", "Kr", "Ne", "Xe")
    min_distance_ratio: float = 0.5  # × sum of covalent radii, before relaxation
    min_distance_ratio_relaxed: float = 0.6
    min_volume_per_atom_ang3: float = 4.0
    volume_ratio_range: tuple[float, float] = (0.3, 3.0)  # relaxed volume over the sum of the elements' volumes
    max_density_g_per_cm3: float = 25.0
    bond_length_ang: float = 5.0  # bulk: bonds up to this length connect all atoms in three directions …
    bond_radii_ratio: float = 1.3  # … or up to this × the sum of their covalent radii, where that is longer
    twin: Tolerances = Tolerances(0.01, 0.02, 1.0, False)
    duplicate: Tolerances = Tolerances(0.05, 0.1, 5.0, True)
    duplicate_window_ev_per_atom: float = 0.010
    refine_ev_per_atom: float = 0.002
    max_formation_energy_ev_per_atom: float = 0.1
    held_below_reference_ev_per_atom: float = 0.02
    held_formation_energy_ev_per_atom: float = -5.0
    held_on_arrival_ev_per_atom: float = -0.5
    held_auditor_difference_ev_per_atom: float = 0.4  # in formation energy without learned corrections
    stable_on_arrival_ev_per_atom: float = -0.002
    metastable_ev_per_atom: float = 0.1
    points: Points = field(default_factory=Points)

    def digest(self) -> str:
        """SHA-256 of the rules as canonical JSON, the matcher's version included."""
        return _digest({"matcher": MATCHER_VERSION, **self.to_json()})

    def to_json(self) -> dict[str, Any]:
        """Rules of an earlier version are written without what they did not have, and keep their digest."""
        data = json.loads(json.dumps(asdict(self)))
        for name, absent in _absent_in(self.version).items():
            if data[name] == absent:
                del data[name]
        return data  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The inverse of ``to_json``; raises ValueError for a rule that does not exist or a limit that is no number.

        Rules that are left out have their defaults, or, where the data are of an earlier version that had no such rule,
        the value that means none.
        """
        unknown = set(data) - {rule.name for rule in fields(cls)}
        if unknown:
            raise ValueError(f"there is no rule named {', '.join(sorted(unknown))}")
        for rule in fields(cls):
            limit = data.get(rule.name, rule.default)
            if isinstance(rule.default, int | float) and not _is_number(limit):
                raise ValueError(f"the rule {rule.name} is {limit!r}; a number such as {rule.default:g} is expected")
        values = {**_absent_in(data.get("version", RULES_VERSION)), **data}
        for name in ("twin", "duplicate"):
            if name in values:
                values[name] = Tolerances(**values[name])
        for name in ("excluded_elements", "volume_ratio_range"):
            if name in values:
                values[name] = tuple(values[name])
        if "points" in values:
            values["points"] = Points(**values["points"])
        return cls(**values)


def _absent_in(version: int) -> dict[str, float]:
    """Rules that this version did not have, with the values by which they change nothing."""
    absent = {"held_auditor_difference_ev_per_atom": 0.4} if version < 3 else {}  # no season had auditors then
    return {**absent, "bond_radii_ratio": 0.0} if version < 2 else absent


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _digest(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
