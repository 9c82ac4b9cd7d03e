"""What a hull is made of: formulas, entries and the mistakes that can be made with them."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_ELEMENTS = 9
MAX_AMOUNT = 10_000  # of one element in a reduced formula: beyond it neighbours are too close for the hull's arithmetic
ENERGY_BOUND_EV_PER_ATOM = 1000.0  # no crystal is bound or unbound by a kilo-electronvolt an atom

_PERIODIC_TABLE = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr "
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu "
    "Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr "
    "Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
SYMBOLS: tuple[str, ...] = tuple(_PERIODIC_TABLE.split())
# By Pauling electronegativity, as pymatgen's Element.X has it; those without a value last.
_MOST_ELECTROPOSITIVE_FIRST = (
    "Fr Cs K Rb Ba Ra Na Sr Li Ca Ac La Tb Yb Ce Pm Pr Nd Sm Eu Gd Dy Y Ho Er Tm Lu Pu Am Bk Cf Cm Es Fm Hf "
    "Lr Md No Th Mg Zr Np Sc U Pa Ta Ti Mn Be Nb Al Tl V Zn Cr Cd In Ga Fe Co Cu Re Si Tc Ni Ag Sn Hg Po Ge "
    "Bi B Sb Te Mo As P At H Ir Os Pd Rn Ru Pt Rh Pb W Au C Se S Xe I Br Kr N Cl O F Ar Bh Cn Db Ds Fl He Hs "
    "Lv Mc Mt Ne Nh Og Rf Rg Sg Ts"
)
_ELECTROPOSITIVITY: dict[str, int] = {symbol: rank for rank, symbol in enumerate(_MOST_ELECTROPOSITIVE_FIRST.split())}
ATOMIC_NUMBER: dict[str, int] = {symbol: number for number, symbol in enumerate(SYMBOLS, start=1)}


_FORMULA_PART = re.compile(r"([A-Z][a-z]*)([0-9]{0,9})")
_FORMULA = re.compile(rf"(?:{_FORMULA_PART.pattern})+")


class HullError(ValueError):
    """An entry or a question that the hull refuses; nothing of it has been done."""


class BadEnergy(HullError):
    """An energy that is not finite or beyond ENERGY_BOUND_EV_PER_ATOM."""


class BadComposition(HullError):
    """Empty, negative, zero, fractional or absurd amounts."""


class UnknownElement(HullError):
    """A symbol that names no element."""


class TooManyElements(HullError):
    """More than MAX_ELEMENTS elements."""


class MixedScales(HullError):
    """An entry whose energy was computed on another scale than the hull's."""


class BadEntryId(HullError):
    """An entry id that is no whole number of 64 bits."""


class UnknownEntry(HullError, KeyError):
    """An entry id that the hull does not hold."""


class DuplicateEntry(HullError):
    """An entry id that the hull holds already."""


@dataclass(frozen=True, slots=True, order=True)
class Formula:
    """A reduced integer formula, e.g. ((11, 1), (17, 1)) for NaCl: (atomic number, amount), sorted, gcd 1."""

    amounts: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        """A second way to write a composition would be a second place on the hull: raises BadComposition for it."""
        numbers = [number for number, _ in self.amounts]
        amounts = [amount for _, amount in self.amounts]
        if not amounts or min(amounts) < 1 or math.gcd(*amounts) != 1 or numbers != sorted(set(numbers)):
            raise BadComposition(f"{self.amounts} is not a reduced formula; Formula.of makes one")
        if max(amounts) > MAX_AMOUNT:
            raise BadComposition(
                f"{max(amounts)} atoms of one element in a reduced formula; at most {MAX_AMOUNT:,} are possible"
            )
        if numbers[0] < 1 or numbers[-1] > len(SYMBOLS):
            raise UnknownElement(f"{self.amounts} names an atomic number that is none")
        if len(numbers) > MAX_ELEMENTS:
            raise TooManyElements(f"{len(numbers)} elements, at most {MAX_ELEMENTS} are possible")

    @classmethod
    def of(cls, amounts: Mapping[str, int]) -> Formula:
        """Reduce amounts of atoms by element symbol.

        Raises BadComposition, UnknownElement or TooManyElements.
        """
        if not amounts:
            raise BadComposition("the composition is empty")
        for symbol, amount in amounts.items():
            if symbol not in ATOMIC_NUMBER:
                raise UnknownElement(f"{symbol!r} is not an element")
            if not _is_count(amount):
                raise BadComposition(f"the amount of {symbol} is {amount!r}, not a positive whole number")
        if len(amounts) > MAX_ELEMENTS:
            raise TooManyElements(f"{len(amounts)} elements, at most {MAX_ELEMENTS} are possible")
        divisor = math.gcd(*amounts.values())
        return cls(tuple(sorted((ATOMIC_NUMBER[symbol], int(amount) // divisor) for symbol, amount in amounts.items())))

    @classmethod
    def trusted(cls, amounts: tuple[tuple[int, int], ...]) -> Formula:
        """Of amounts that were checked before: a store gives back what it took."""
        formula = object.__new__(cls)
        object.__setattr__(formula, "amounts", amounts)
        return formula

    @classmethod
    def parse(cls, text: str) -> Formula:
        """Read the form that ``str()`` writes: alphabetical as OPTIMADE has it, e.g. ``ClNa`` or ``O2Ti``."""
        if not _FORMULA.fullmatch(text):
            raise BadComposition(f"{text[:80]!r} is not a formula such as ClNa or O2Ti")
        amounts: dict[str, int] = {}
        for symbol, amount in _FORMULA_PART.findall(text):
            if symbol in amounts:
                raise BadComposition(f"{symbol} stands twice in {text!r}")
            amounts[symbol] = int(amount or 1)
        return cls.of(amounts)

    def __str__(self) -> str:
        parts = sorted((SYMBOLS[number - 1], amount) for number, amount in self.amounts)
        return "".join(f"{symbol}{amount if amount > 1 else ''}" for symbol, amount in parts)

    @property
    def written(self) -> str:
        """As chemists write it, the most electropositive element first: ``NaCl``, ``TiO2``."""
        parts = sorted((_ELECTROPOSITIVITY[SYMBOLS[number - 1]], number, amount) for number, amount in self.amounts)
        return "".join(f"{SYMBOLS[number - 1]}{amount if amount > 1 else ''}" for _, number, amount in parts)

    @property
    def elements(self) -> tuple[str, ...]:
        """Element symbols, alphabetical."""
        return tuple(sorted(SYMBOLS[number - 1] for number, _ in self.amounts))

    @property
    def chemical_system(self) -> str:
        """Element symbols joined by a hyphen, alphabetical, e.g. ``Cl-Na``."""
        return "-".join(self.elements)

    @property
    def n_atoms(self) -> int:
        """Number of atoms of one reduced formula unit."""
        return sum(amount for _, amount in self.amounts)

    @property
    def is_element(self) -> bool:
        return len(self.amounts) == 1

    @property
    def fractions(self) -> dict[str, float]:
        """Atomic fraction of each element."""
        return {SYMBOLS[number - 1]: amount / self.n_atoms for number, amount in self.amounts}


@dataclass(frozen=True, slots=True)
class Entry:
    """One polymorph: a formula and its energy on the hull's scale."""

    entry_id: int
    formula: Formula
    energy_per_atom: float  # eV/atom, total energy on the scale, not a formation energy

    def __post_init__(self) -> None:
        checked_energy(self.energy_per_atom)


def checked_energy(energy_per_atom: float) -> float:
    """The energy itself; raises BadEnergy where it is not a number, not finite or absurd (eV/atom)."""
    try:
        possible = math.isfinite(energy_per_atom) and abs(energy_per_atom) <= ENERGY_BOUND_EV_PER_ATOM
    except (TypeError, OverflowError):
        possible = False
    if not possible:
        raise BadEnergy(f"{energy_per_atom!r} eV/atom is not an energy of a crystal")
    return energy_per_atom


def _is_count(amount: int) -> bool:
    """A positive whole number, numpy's included; True and 2.0 are none."""
    try:
        return operator.index(amount) > 0 and not isinstance(amount, bool)
    except TypeError:
        return False


def checked_id(entry_id: int) -> int:
    """The id itself; raises BadEntryId where it is no whole number of 64 bits."""
    try:
        number = operator.index(entry_id)
    except TypeError:
        raise BadEntryId(f"{entry_id!r} is no entry id: these are whole numbers") from None
    if not -(2**63) <= number < 2**63:
        raise BadEntryId(f"{entry_id} is no entry id: these have 64 bits")
    return number
