"""Formulas and arrays of entries as the kernels take them: a key of the elements, and amounts, in 7 bits each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hull.arrays import EntryArrays
from hull.compiled import kernel
from hull.entries import (
    ENERGY_BOUND_EV_PER_ATOM,
    MAX_AMOUNT,
    MAX_ELEMENTS,
    SYMBOLS,
    BadComposition,
    BadEnergy,
    Formula,
    UnknownElement,
)

BITS = 7
LARGEST_AMOUNT = 127
_MANY = 16  # formulas, from which on arrays are quicker than one after the other
Words = NDArray[np.int64]

_GOOD, _WIDE, _NOT_ASCENDING, _UNKNOWN, _EMPTY, _NO_AMOUNT, _NO_ENERGY = range(7)


def key_of(formula: Formula) -> int:
    """The elements of a formula."""
    key = 0
    for place, (number, _) in enumerate(formula.amounts):
        key |= number << (BITS * place)
    return key


def amounts_of(formula: Formula) -> int | None:
    """The amounts of a formula; None where one of them needs more than 7 bits."""
    packed = 0
    for place, (_, amount) in enumerate(formula.amounts):
        if amount > LARGEST_AMOUNT:
            return None
        packed |= amount << (BITS * place)
    return packed


def wide_amounts_of(formula: Formula) -> tuple[int, ...]:
    """The amounts of a formula, nine of them, as a row of `wide`."""
    amounts = tuple(amount for _, amount in formula.amounts)
    return amounts + (0,) * (MAX_ELEMENTS - len(amounts))


def in_order(formulas: Iterable[Formula]) -> list[Formula]:
    """Sorted as formulas are, without the detour over their own comparison."""
    return sorted(formulas, key=lambda formula: formula.amounts)


def formula_in(entries: EntryArrays, row: int) -> Formula:
    """The reduced formula of one entry."""
    pairs = zip(entries.atomic_numbers[row].tolist(), entries.amounts[row].tolist(), strict=True)
    return Formula.of({SYMBOLS[number - 1]: amount for number, amount in pairs if number})


def elements_of(key: int) -> tuple[int, ...]:
    """Atomic numbers, ascending."""
    numbers = []
    while key:
        numbers.append(key & LARGEST_AMOUNT)
        key >>= BITS
    return tuple(numbers)


def formulas_of(keys: Words, amounts: Words, wide: Words) -> list[Formula]:
    """Formulas back, shape (n,). wide: the amounts that do not fit."""
    if len(keys) < _MANY:
        return [formula_of(*row, wide) for row in zip(keys.tolist(), amounts.tolist(), strict=True)]
    sizes = np.count_nonzero(_unpacked(keys), axis=0).tolist()
    columns = zip(_unpacked(keys).tolist(), _unpacked(np.maximum(amounts, 0)).tolist(), strict=True)
    rows = zip(*(zip(*column, strict=True) for column in columns), strict=True)
    formulas = [Formula.trusted(row[:size]) for row, size in zip(rows, sizes, strict=True)]
    for place in np.flatnonzero(amounts < 0).tolist():
        formulas[place] = formula_of(int(keys[place]), int(amounts[place]), wide)
    return formulas


def numbers_and_amounts_of(keys: Words, amounts: Words, wide: Words) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Atomic numbers and amounts back, shapes (n, 9), zeros at the end of a row. wide: the amounts that do not fit."""
    numbers, counts = _unpacked(keys).T.astype(np.uint8), _unpacked(np.maximum(amounts, 0)).T.astype(np.int32)
    rows = np.flatnonzero(amounts < 0)
    counts[rows] = wide[-1 - amounts[rows]]
    return numbers, counts


def formula_of(key: int, amounts: int, wide: Words) -> Formula:
    """A formula back. wide: the amounts that do not fit."""
    if amounts < 0:
        return Formula.trusted(tuple(zip(elements_of(key), wide[-1 - amounts].tolist(), strict=False)))
    pairs = []
    while key:
        pairs.append((key & LARGEST_AMOUNT, amounts & LARGEST_AMOUNT))
        key >>= BITS
        amounts >>= BITS
    return Formula.trusted(tuple(pairs))


def _unpacked(packed_numbers: Words) -> Words:
    """Shape (9, n)."""
    return packed_numbers >> (BITS * np.arange(MAX_ELEMENTS))[:, None] & LARGEST_AMOUNT


def packed(entries: EntryArrays) -> tuple[Words, Words, Words]:
    """Keys, amounts reduced, and the places of the entries whose amounts do not fit (amounts are 0 there).

    Raises BadComposition, UnknownElement or BadEnergy and says which entry it is.
    """
    n = len(entries.entry_ids)
    shapes = (entries.atomic_numbers.shape, entries.amounts.shape, entries.energies_per_atom.shape)
    if shapes != ((n, MAX_ELEMENTS), (n, MAX_ELEMENTS), (n,)):
        raise BadComposition(f"arrays of {n} entries have shapes {shapes}")
    keys, amounts, verdicts = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int8)
    numbers = np.ascontiguousarray(entries.atomic_numbers, np.uint8)
    counts = np.ascontiguousarray(entries.amounts, np.int64)
    _pack(numbers, counts, np.ascontiguousarray(entries.energies_per_atom, np.float64), keys, amounts, verdicts)
    bad = np.flatnonzero(verdicts > _WIDE)
    if len(bad):
        _refuse(entries, int(bad[0]), int(verdicts[bad[0]]))
    return keys, amounts, np.flatnonzero(verdicts == _WIDE)


def _refuse(entries: EntryArrays, row: int, verdict: int) -> None:
    who = f"entry {entries.entry_ids[row]} (row {row})"
    if verdict == _UNKNOWN:
        raise UnknownElement(f"{who} names an atomic number that is none: {entries.atomic_numbers[row].tolist()}")
    if verdict == _NO_ENERGY:
        raise BadEnergy(f"{who}: {entries.energies_per_atom[row]} eV/atom is not an energy of a crystal")
    reason = {
        _NOT_ASCENDING: "atomic numbers must ascend and end in zeros",
        _EMPTY: "the composition is empty",
        _NO_AMOUNT: f"amounts must be whole numbers, 1 to {MAX_AMOUNT:,} once reduced, and 0 without an element",
    }[verdict]
    raise BadComposition(f"{who}: {reason}: {entries.atomic_numbers[row].tolist()}, {entries.amounts[row].tolist()}")


@kernel
def _pack(numbers: Any, counts: Any, energies: Any, keys: Any, amounts: Any, verdicts: Any) -> None:
    for row in range(keys.size):
        verdict, key, divisor, d, last = _GOOD, np.int64(0), np.int64(0), 0, np.int64(0)
        for i in range(MAX_ELEMENTS):
            number, count = np.int64(numbers[row, i]), counts[row, i]
            if number == 0:
                if count != 0:
                    verdict = _NO_AMOUNT
                last = np.int64(128)
                continue
            if number > len(SYMBOLS):
                verdict = _UNKNOWN
            elif number <= last:
                verdict = _NOT_ASCENDING
            elif count <= 0:
                verdict = _NO_AMOUNT
            last = number if last < 128 else last
            key |= number << (BITS * i)
            d += 1
            while count != 0:
                divisor, count = count, divisor % count
        if d == 0:
            verdict = _EMPTY
        if not abs(energies[row]) <= ENERGY_BOUND_EV_PER_ATOM:
            verdict = _NO_ENERGY
        shape = np.int64(0)
        if verdict == _GOOD:
            for i in range(d):
                count = counts[row, i] // divisor
                if count > MAX_AMOUNT:
                    verdict = _NO_AMOUNT
                elif count > LARGEST_AMOUNT and verdict == _GOOD:
                    verdict = _WIDE
                shape |= (count & LARGEST_AMOUNT) << (BITS * i)
        keys[row], amounts[row], verdicts[row] = key, shape if verdict == _GOOD else 0, verdict
