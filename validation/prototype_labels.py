"""Labels of structure prototypes: which Wyckoff positions of which space group are occupied, and by how many kinds.

The notation is AFLOW's (Mehl et al., 2017; doi 10.1016/j.commatsci.2017.01.017) with the elements behind a colon, as in
``A2B_tP6_136_f_a:O-Ti``: reduced formula with the elements in alphabetical order as A, B, …; Pearson symbol; space
group; for each element the letters of its positions, each behind its count where that is not one.

One prototype has one label. The affine normaliser of a space group moves the origin and chooses other axes; all
assignments of letters that it relates are the same, and the one whose letters come earliest is written. The two hands
of an enantiomorphic pair of groups share the label of the lower number. A rhombohedral cell is counted on hexagonal
axes: corundum is hR30.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import groupby, permutations, product
from math import gcd
from string import ascii_uppercase

from validation.wyckoff_letters import relabelled

# the higher number of an enantiomorphic pair: the lower one
_OTHER_HAND = dict(
    zip(
        (78, 95, 96, 145, 153, 154, 170, 172, 179, 181, 213),
        (76, 91, 92, 144, 151, 152, 169, 171, 178, 180, 212),
        strict=True,
    )
)

Letters = tuple[str, ...]  # of each element: a letter for each position that it occupies, sorted


def label_of(group: int, pearson_symbol: str, amounts: Mapping[str, int], letters: Mapping[str, Iterable[str]]) -> str:
    """The label of a crystal.

    amounts: atoms of each element, in any cell. letters: of each element, one for each position that it occupies.
    """
    elements = sorted(amounts)
    group = _OTHER_HAND.get(group, group)
    first = min(_same_as(group, [letters[element] for element in elements]), key=_rank)
    return f"{_written([amounts[element] for element in elements], pearson_symbol, group, first)}:{'-'.join(elements)}"


def prototype_of(label: str) -> str:
    """What is left of a label when the elements do not count: fewest atoms first, then the earliest letters.

    So all perovskites are ``ABC3_cP5_221_a_b_c``, whatever the alphabet makes of their elements. Raises ValueError
    where the text is no label.
    """
    formula, pearson_symbol, number, *texts = label.partition(":")[0].split("_")
    amounts, letters = _amounts(formula), [_letters(text) for text in texts]
    if len(amounts) != len(letters):
        raise ValueError(f"{label!r} is no label of a prototype")
    orders = list(_by_amount(amounts))
    found = {tuple(one[kind] for kind in order) for one in _same_as(int(number), letters) for order in orders}
    return _written(sorted(amounts), pearson_symbol, int(number), min(found, key=_rank))


def _same_as(group: int, letters: Sequence[Iterable[str]]) -> Iterator[Letters]:
    start = tuple("".join(sorted(one)) for one in letters)
    for text in relabelled(group, "_".join(start)):
        yield tuple("".join(sorted(one)) for one in text.split("_"))


def _rank(letters: Letters) -> tuple[int, Letters]:
    """Letters count once an element, whatever their number, as in the labels that others publish."""
    return sum(ord(letter) for one in letters for letter in set(one)), _counted(letters)


def _counted(letters: Letters) -> Letters:
    runs = ([(letter, len(list(run))) for letter, run in groupby(one)] for one in letters)
    return tuple("".join(f"{count if count > 1 else ''}{letter}" for letter, count in one) for one in runs)


def _written(amounts: Sequence[int], pearson_symbol: str, group: int, letters: Letters) -> str:
    unit = reduce(gcd, amounts)
    kinds = zip(ascii_uppercase, (amount // unit for amount in amounts), strict=False)
    formula = "".join(f"{kind}{count if count > 1 else ''}" for kind, count in kinds)
    return "_".join([formula, pearson_symbol, str(group), *_counted(letters)])


def _by_amount(amounts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All orders in which rarer kinds come first."""
    kinds = sorted(range(len(amounts)), key=amounts.__getitem__)
    alike = [list(permutations(run)) for _, run in groupby(kinds, key=amounts.__getitem__)]
    for parts in product(*alike):
        yield tuple(kind for part in parts for kind in part)


def _amounts(formula: str) -> list[int]:
    """Of A2B3: 2 and 3."""
    starts = [place for place, character in enumerate(formula) if character.isupper()]
    ends = [*starts[1:], len(formula)]
    return [int(formula[start + 1 : end] or 1) for start, end in zip(starts, ends, strict=True)]


def _letters(text: str) -> str:
    """Of 2ab: aab."""
    found: Counter[str] = Counter()
    digits = ""
    for character in text:
        if character.isdigit():
            digits += character
        else:
            found[character] += int(digits or 1)
            digits = ""
    return "".join(sorted(found.elements()))
