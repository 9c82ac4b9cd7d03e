"""Many formulas read or written at once, as the text in which rows hold them: one by one they cost more than their
hull."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from hull.arrays import EntryArrays
from hull.compiled import inner, kernel
from hull.entries import MAX_AMOUNT, MAX_ELEMENTS, SYMBOLS, Formula

_LETTERS = 27  # of the alphabet, and none
_MAX_DIGITS = 9  # of an amount, as Formula.parse has it
_END, _A, _Z, _a, _z, _0, _9, _HYPHEN = (ord(sign) for sign in "\nAZaz09-")
_LONGEST = MAX_ELEMENTS * (2 + len(str(MAX_AMOUNT))) + 1  # of a formula's text, and its end


def entries_of(entry_ids: NDArray[np.int64], formulas: Sequence[str], energies: NDArray[np.float64]) -> EntryArrays:
    """n entries of formulas as ``Formula.parse`` reads them; energies: eV/atom, (n,).

    Raises what ``Formula.parse`` raises for the first formula that is none.
    """
    joined = "".join([f"{formula}\n" for formula in formulas])
    if joined.count("\n") != len(formulas):
        _refuse_first(formulas)
    text = np.frombuffer(joined.encode(), np.uint8)
    numbers = np.zeros((len(formulas), MAX_ELEMENTS), np.uint8)
    amounts = np.zeros((len(formulas), MAX_ELEMENTS), np.int32)
    bad = _read(text, _atomic_numbers(), numbers, amounts)
    if bad >= 0:
        _refuse_first(formulas[bad:])
    return EntryArrays(entry_ids, numbers, amounts, energies)


def entries_of_rows(rows: Iterable[tuple[int, str, float]]) -> EntryArrays:
    """The same of an id, a formula and an energy in eV/atom each."""
    ids, formulas, energies = zip(*rows, strict=True) if (rows := list(rows)) else ((), (), ())
    return entries_of(np.array(ids, np.int64), formulas, np.array(energies, np.float64))


def formulas_of(numbers: NDArray[np.uint8], amounts: NDArray[np.int32]) -> list[str]:
    """What ``str(Formula)`` writes for each row of atomic numbers and reduced amounts, shapes (n, 9), as EntryArrays
    has them."""
    return _written(numbers, np.ascontiguousarray(amounts, np.int32))


def chemical_systems_of(numbers: NDArray[np.uint8]) -> list[str]:
    """The same as ``Formula.chemical_system`` has it."""
    return _written(numbers, np.zeros(numbers.shape, np.int32))


def _written(numbers: NDArray[np.uint8], amounts: NDArray[np.int32]) -> list[str]:
    """amounts: all zero for chemical systems."""
    ranks, letters = _alphabet()
    text = np.empty(len(numbers) * _LONGEST, np.uint8)
    order = np.empty(MAX_ELEMENTS, np.int64)
    length = _write(np.ascontiguousarray(numbers, np.uint8), amounts, ranks, letters, order, text)
    return text[:length].tobytes().decode("ascii").split("\n")[:-1]


@cache
def _alphabet() -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """By atomic number: the symbol's place among the symbols in alphabetical order, and its letters, 0 for none."""
    letters = np.zeros((len(SYMBOLS) + 1, 2), np.uint8)
    for number, symbol in enumerate(SYMBOLS, start=1):
        letters[number, : len(symbol)] = list(symbol.encode())
    return np.argsort(np.argsort(["", *SYMBOLS])), letters


def _refuse_first(formulas: Sequence[str]) -> NoReturn:
    for formula in formulas:
        Formula.parse(formula)
    raise AssertionError("Formula.parse reads what is refused here")


def _atomic_numbers() -> NDArray[np.uint8]:
    """By first letter, and second letter or none; 0 for what names no element. Shape (26 * 27,)."""
    table = np.zeros((_LETTERS - 1) * _LETTERS, np.uint8)
    for number, symbol in enumerate(SYMBOLS, start=1):
        second = ord(symbol[1]) - _a + 1 if len(symbol) > 1 else 0
        table[(ord(symbol[0]) - _A) * _LETTERS + second] = number
    return table


@kernel
def _write(numbers: Any, amounts: Any, ranks: Any, letters: Any, order: Any, text: Any) -> Any:
    """Each row of the text ends in a line feed. A row without amounts gets hyphens between its symbols. Returns how
    long the text is. order: scratch, (9,). text: with room for the longest."""
    length = 0
    for row in range(numbers.shape[0]):
        d = _put_in_order(numbers[row], ranks, order)
        for i in range(d):
            number, amount = numbers[row, order[i]], amounts[row, order[i]]
            if amount == 0 and i > 0:
                text[length] = _HYPHEN
                length += 1
            for letter in range(2):
                if letters[number, letter] != 0:
                    text[length] = letters[number, letter]
                    length += 1
            if amount > 1:
                length = _write_amount(text, length, amount)
        text[length] = _END
        length += 1
    return length


@inner
def _put_in_order(numbers: Any, ranks: Any, order: Any) -> Any:
    """Places of the elements by rank; says how many there are."""
    d = 0
    while d < MAX_ELEMENTS and numbers[d] != 0:
        i = d
        while i > 0 and ranks[numbers[order[i - 1]]] > ranks[numbers[d]]:
            order[i] = order[i - 1]
            i -= 1
        order[i] = d
        d += 1
    return d


@inner
def _write_amount(text: Any, length: Any, amount: Any) -> Any:
    """Returns where it ends."""
    power = 1
    while 10 * power <= amount:
        power *= 10
    while power > 0:
        text[length] = _0 + amount // power % 10
        length += 1
        power //= 10
    return length


@kernel
def _read(text: Any, table: Any, numbers: Any, amounts: Any) -> Any:
    """Each row of the text ends in a line feed. Returns the first row that is no formula, or -1."""
    place = 0
    for row in range(numbers.shape[0]):
        d = 0
        while place < text.size and text[place] != _END:
            place, number, amount = _part(text, place, table)
            if (
                number == 0
                or amount == 0
                or d == MAX_ELEMENTS
                or not _put(numbers[row], amounts[row], d, number, amount)
            ):
                return row
            d += 1
        if d == 0:
            return row
        place += 1
    return -1


@inner
def _part(text: Any, place: Any, table: Any) -> Any:
    """Where it ends, the atomic number and the amount of a symbol with its number; 0 where it is none. The text ends
    in a line feed, so nothing is read beyond it."""
    first = text[place]
    if first < _A or first > _Z:
        return place, 0, 0
    place += 1
    second = 0
    if _a <= text[place] <= _z:
        second = text[place] - _a + 1
        place += 1
    number = table[(first - _A) * _LETTERS + second]
    amount, digits = 0, 0
    while _0 <= text[place] <= _9:
        amount = 10 * amount + text[place] - _0
        place += 1
        digits += 1
        if digits > _MAX_DIGITS:
            return place, 0, 0
    return place, np.int64(number), np.int64(amount if digits else 1)


@inner
def _put(numbers: Any, amounts: Any, d: Any, number: Any, amount: Any) -> Any:
    """Into the d elements that are there, in ascending order; False where the element is among them."""
    i = d
    while i > 0 and numbers[i - 1] > number:
        numbers[i], amounts[i] = numbers[i - 1], amounts[i - 1]
        i -= 1
    if i > 0 and numbers[i - 1] == number:
        return False
    numbers[i], amounts[i] = number, amount
    return True
