"""Where everything of a hull lies: a few flat arrays, and what stands at which offset.

The pool holds 8-byte words, seen as int64, as float64 and as pairs of int32 (halves). In it lie two kinds of record,
known by their offset. A chemical system of d elements:

    word 0          its elements (atomic numbers), 7 bits each, ascending from the lowest bits: its key
    word 1          first composition | number of compositions
    word 2          its block in `columns`, or 0 | capacity of the block
    word 3          next system of all | 0

and a composition of d elements:

    word 0          E, lowest energy, eV/atom; inf where there is no entry (any more)
    word 1          H, eV/atom, leave-one-out; nan where undefined, and for elements
    word 2          its amounts, 7 bits each in the order of the elements; negative: -1 - row in `wide`
    word 3          its system | next composition of the system
    word 4          row of its lowest entry | row of another entry, in no order
    word 5          flags | place among the columns of its system
    word 6..5+d     µ, eV/atom, the duals of the programme for H

An entry has three words: its energy (eV/atom), its id, and its composition | row of another entry of the composition.

`columns` holds, for each system that ever came near the hull, a block of the compositions that are near now: the
system's key, how many compositions there are, and each of these as d + 2 words: formation energy against the present
references, atomic fractions, composition.

Offset and row 0 stand for nothing everywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hull.compiled import floats, halves, inner, words

MAX_ELEMENTS = 9
PLACES = 128  # element numbers fit into 7 bits

SYSTEM_WORDS = 4
KEY = 0
FIRST, MEMBERS = 2, 3  # halves
BLOCK, CAPACITY = 4, 5
NEXT_SYSTEM = 6

COMPOSITION_WORDS = 6  # and one an element
ENERGY, HULL, AMOUNTS, POTENTIALS = 0, 1, 2, 6
SYSTEM, NEXT = 6, 7  # halves
LOWEST, OTHERS = 8, 9
FLAGS, COLUMN = 10, 11
NEAR, VERTEX, MOVED = 1, 2, 4  # flags

ENTRY_WORDS = 3
ENTRY_ENERGY, ENTRY_ID = 0, 1
ENTRY_COMPOSITION, ENTRY_NEXT = 4, 5  # halves; a free row has composition 0, and the next free row

BLOCK_WORDS = 2  # before the columns
CHUNK = 8  # int32 of a chunk of a list of systems: seven of them, and the chunk before
PAIR = 4  # int32 of two elements, or one: their system, chunk and length of the list of systems above, their block
PAIR_LIST, PAIR_LENGTH, PAIR_BLOCK = 1, 2, 3
TRIPLE = 3  # words of three elements: key; chunk | length of the systems of four elements above, and of more
EVENT = 3  # int32 of an event: kind, row of the entry, step of the batch
FREE_SIZES = 32

# Counters: how much of each array is used,
POOL_USED, COLUMNS_USED, LINKS_USED, TRIPLES_USED, ENTRIES_USED = 0, 1, 2, 3, 4
N_SYSTEMS, N_BLOCKS, N_RECORDS, N_IDS, N_EVENTS, N_MOVED = 5, 6, 7, 8, 9, 10
# how much is in the store,
N_COMPOSITIONS, N_ENTRIES, N_NEAR, LAST_SYSTEM, FREE_ENTRY, LARGEST_BLOCK, LARGEST_SYSTEM = 11, 12, 13, 14, 15, 16, 17
# the masks of the hash tables,
TRIPLE_MASK, SYSTEM_MASK, BLOCK_MASK, COMPOSITION_MASK, ENTRY_MASK = 18, 19, 20, 21, 22
# and what was done.
N_SOLVED, N_PIVOTS, N_STALLED = 23, 24, 25
N_COUNTERS = 26

COUNTER_OF = {  # array → the counter of what is used of it, and how many of its numbers are one
    "pool": (POOL_USED, 1),
    "columns": (COLUMNS_USED, 1),
    "links": (LINKS_USED, CHUNK),
    "triples": (TRIPLES_USED, TRIPLE),
    "entries": (ENTRIES_USED, ENTRY_WORDS),
}
MASK_OF = {
    "triple_table": TRIPLE_MASK,
    "system_table": SYSTEM_MASK,
    "block_table": BLOCK_MASK,
    "composition_table": COMPOSITION_MASK,
    "entry_table": ENTRY_MASK,
}


class Memory(NamedTuple):
    """The arrays of a store, as Python holds them."""

    counters: NDArray[np.int64]
    pool: NDArray[np.int64]
    columns: NDArray[np.float64]
    free_blocks: NDArray[np.int64]  # (10, 32): first free block of d elements and 2^k columns, or 0
    links: NDArray[np.int32]  # chunks
    pairs: NDArray[np.int32]  # (128, 128, 4)
    triples: NDArray[np.int64]
    triple_table: NDArray[np.int64]  # hash table
    system_table: NDArray[np.int64]  # hash table of the systems of three elements and more
    block_table: NDArray[np.int64]  # hash table of the blocks of these
    composition_table: NDArray[np.int64]  # hash table
    entry_table: NDArray[np.int64]  # hash table
    references: NDArray[np.float64]  # (128,): lowest energy of each element, eV/atom; inf where there is none
    entries: NDArray[np.int64]
    wide: NDArray[np.int64]  # (n, 9): amounts that do not fit into 7 bits; row 0 is for questions
    # scratch
    events: NDArray[np.int32]
    moved: NDArray[np.int32]  # compositions whose point changed since this was read last
    above: NDArray[np.int32]  # systems
    some: NDArray[np.int32]  # compositions
    work: NDArray[np.float64]  # the columns of a programme, one after another
    owners: NDArray[np.int32]  # the compositions that they are
    small: NDArray[np.float64]  # vectors and matrices of a programme
    small_i: NDArray[np.int64]

    def addresses(self) -> NDArray[np.int64]:
        """Where the arrays lie, then how long they are: for the kernels, and good as long as these arrays live."""
        return np.array([array.ctypes.data for array in self] + [array.size for array in self], dtype=np.int64)


class Tables(NamedTuple):
    """The same as the kernels see it: pointers."""

    counters: Any
    pool: Any
    pool_f: Any
    pool_h: Any
    columns: Any
    columns_i: Any
    free_blocks: Any
    links: Any
    pairs: Any
    triples: Any
    triple_table: Any
    system_table: Any
    block_table: Any
    composition_table: Any
    entry_table: Any
    references: Any
    entries: Any
    entries_f: Any
    entries_h: Any
    wide: Any
    events: Any
    moved: Any
    above: Any
    some: Any
    work: Any
    owners: Any
    # of a programme of d elements
    target: Any  # d
    duals: Any  # d, eV/atom
    fractions: Any  # d
    direction: Any  # d
    other: Any  # d: fractions of the phase that is priced
    inverse: Any  # d × d, rows of nine
    matrix: Any  # d × d, rows of nine
    basis: Any  # d
    places: Any  # d: of the priced phase's elements among those of the programme


@inner
def tables(address: Any) -> Any:
    """From Memory.addresses."""
    small, small_i = address[21], address[22]
    return Tables(
        words(address[0]),
        words(address[1]),
        floats(address[1]),
        halves(address[1]),
        floats(address[2]),
        words(address[2]),
        words(address[3]),
        halves(address[4]),
        halves(address[5]),
        words(address[6]),
        words(address[7]),
        words(address[8]),
        words(address[9]),
        words(address[10]),
        words(address[11]),
        floats(address[12]),
        words(address[13]),
        floats(address[13]),
        halves(address[13]),
        words(address[14]),
        halves(address[15]),
        halves(address[16]),
        halves(address[17]),
        halves(address[18]),
        floats(address[19]),
        halves(address[20]),
        floats(small),
        floats(small + 72),
        floats(small + 144),
        floats(small + 216),
        floats(small + 288),
        floats(small + 360),
        floats(small + 1008),
        words(small_i),
        words(small_i + 72),
    )


def empty_memory() -> Memory:
    """Nothing in it."""
    counters = np.zeros(N_COUNTERS, np.int64)
    counters[[POOL_USED, COLUMNS_USED, LINKS_USED, TRIPLES_USED, ENTRIES_USED]] = 1
    counters[list(MASK_OF.values())] = 63
    return Memory(
        counters=counters,
        pool=np.zeros(1024, np.int64),
        columns=np.zeros(1024),
        free_blocks=np.zeros((MAX_ELEMENTS + 1, FREE_SIZES), np.int64),
        links=np.zeros(CHUNK * 128, np.int32),
        pairs=np.zeros((PLACES, PLACES, PAIR), np.int32),
        triples=np.zeros(TRIPLE * 128, np.int64),
        triple_table=np.zeros(64, np.int64),
        system_table=np.zeros(64, np.int64),
        block_table=np.zeros(64, np.int64),
        composition_table=np.zeros(64, np.int64),
        entry_table=np.zeros(64, np.int64),
        references=np.full(PLACES, np.inf),
        entries=np.zeros(ENTRY_WORDS * 64, np.int64),
        wide=np.zeros((1, MAX_ELEMENTS), np.int64),
        events=np.zeros(EVENT * 256, np.int32),
        moved=np.zeros(64, np.int32),
        above=np.zeros(64, np.int32),
        some=np.zeros(64, np.int32),
        work=np.zeros((MAX_ELEMENTS + 1) * 64),
        owners=np.zeros(64, np.int32),
        small=np.zeros(5 * MAX_ELEMENTS + 2 * MAX_ELEMENTS**2),
        small_i=np.zeros(2 * MAX_ELEMENTS, np.int64),
    )
