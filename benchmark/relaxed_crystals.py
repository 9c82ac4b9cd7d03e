"""Crystals to relax: small ones of the corpus, or crystals made here."""

from __future__ import annotations

from collections.abc import Iterator, Set

from benchmark.cifs import Cif, corpus, made
from validation.cif import read_block
from validation.crystal import Crystal
from validation.reduction import primitive
from validation.rules import Rejected, Rules

MAX_ATOMS = 20
_RULES = Rules(max_atoms=200)


def crystals(count: int, elements: Set[str]) -> tuple[list[Crystal], bool]:
    """At most ``count`` primitive cells of at most MAX_ATOMS atoms of these elements; whether they are of the corpus.

    Spread over the corpus; made here where there is none.
    """
    files = corpus()
    found = list(_small(files or made(4 * count)[: 4 * count], elements))
    stride = max(len(found) // count, 1)
    return found[::stride][:count], bool(files)


def _small(files: list[Cif], elements: Set[str]) -> Iterator[Crystal]:
    for file in files:
        try:
            crystal = primitive(read_block(file.text, _RULES))
        except Rejected:
            continue
        if len(crystal) <= MAX_ATOMS and set(crystal.elements) <= elements:
            yield crystal
