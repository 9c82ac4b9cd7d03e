"""Capacity: whether there is room for one more change, and more of whatever is short.

Every kernel that changes something asks first, and changes nothing where room is missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hull.columns import room_above
from hull.compiled import inner, kernel
from hull.hashing import EMPTY, hash_of, hash_of_id, item_of, put
from hull.memory import (
    AMOUNTS,
    BLOCK_MASK,
    CHUNK,
    COLUMNS_USED,
    COMPOSITION_MASK,
    COMPOSITION_WORDS,
    ENTRIES_USED,
    ENTRY_COMPOSITION,
    ENTRY_ID,
    ENTRY_MASK,
    ENTRY_WORDS,
    EVENT,
    FREE_ENTRY,
    KEY,
    LARGEST_BLOCK,
    LARGEST_SYSTEM,
    LINKS_USED,
    MASK_OF,
    MAX_ELEMENTS,
    N_BLOCKS,
    N_COMPOSITIONS,
    N_EVENTS,
    N_IDS,
    N_NEAR,
    N_RECORDS,
    N_SYSTEMS,
    PLACES,
    POOL_USED,
    SYSTEM,
    SYSTEM_MASK,
    SYSTEM_WORDS,
    TRIPLE,
    TRIPLE_MASK,
    TRIPLES_USED,
    Memory,
    tables,
)

_PAIRS, _TRIPLES = 36, 84  # of nine elements
_GROWTH = 1.3
_LOAD = 6  # tenths of a hash table that may be full
_LARGEST = 2**31 - 1  # offsets are int32

ENOUGH = -1
# What is short: the place of the array in Memory.
POOL, COLUMNS, LINKS, TRIPLES, ENTRIES = 1, 2, 4, 6, 13
TRIPLE_TABLE, SYSTEM_TABLE, BLOCK_TABLE, COMPOSITION_TABLE, ENTRY_TABLE = 7, 8, 9, 10, 11
EVENTS, MOVED_LIST, ABOVE, SOME, WORK, OWNERS = 15, 16, 17, 18, 19, 20

# The sizes of the arrays follow the addresses.
N_ARRAYS = len(Memory._fields)


class Full(MemoryError):
    """More than 2^31 words of something: the offsets of this store end there."""


@inner
def shortage(address: Any, m: Any, key: Any) -> Any:
    """What there is too little of for one more entry of these elements, and how much is needed; or ENOUGH."""
    c = m.counters
    if c[POOL_USED] + SYSTEM_WORDS + COMPOSITION_WORDS + MAX_ELEMENTS > address[N_ARRAYS + POOL]:
        return np.int64(POOL), c[POOL_USED] + SYSTEM_WORDS + COMPOSITION_WORDS + MAX_ELEMENTS
    if (c[LINKS_USED] + _PAIRS + _TRIPLES) * CHUNK > address[N_ARRAYS + LINKS]:
        return np.int64(LINKS), (c[LINKS_USED] + _PAIRS + _TRIPLES) * CHUNK
    if (c[TRIPLES_USED] + _TRIPLES) * TRIPLE > address[N_ARRAYS + TRIPLES]:
        return np.int64(TRIPLES), (c[TRIPLES_USED] + _TRIPLES) * TRIPLE
    if c[FREE_ENTRY] == 0 and (c[ENTRIES_USED] + 1) * ENTRY_WORDS > address[N_ARRAYS + ENTRIES]:
        return np.int64(ENTRIES), (c[ENTRIES_USED] + 1) * ENTRY_WORDS
    if c[N_RECORDS] + 1 > address[N_ARRAYS + MOVED_LIST]:
        return np.int64(MOVED_LIST), c[N_RECORDS] + 1
    if c[N_SYSTEMS] + 1 > address[N_ARRAYS + ABOVE]:
        return np.int64(ABOVE), c[N_SYSTEMS] + 1
    columns = c[N_NEAR] + c[LARGEST_SYSTEM] + 2 + MAX_ELEMENTS
    if columns > address[N_ARRAYS + OWNERS]:
        return np.int64(OWNERS), columns
    if columns * (MAX_ELEMENTS + 1) > address[N_ARRAYS + WORK]:
        return np.int64(WORK), columns * (MAX_ELEMENTS + 1)
    if _is_full(c[TRIPLE_MASK], c[TRIPLES_USED] + _TRIPLES):
        return np.int64(TRIPLE_TABLE), c[TRIPLES_USED] + _TRIPLES
    if _is_full(c[SYSTEM_MASK], c[N_SYSTEMS] + 1):
        return np.int64(SYSTEM_TABLE), c[N_SYSTEMS] + 1
    if _is_full(c[BLOCK_MASK], c[N_BLOCKS] + 1):
        return np.int64(BLOCK_TABLE), c[N_BLOCKS] + 1
    if _is_full(c[COMPOSITION_MASK], c[N_RECORDS] + 1):
        return np.int64(COMPOSITION_TABLE), c[N_RECORDS] + 1
    if _is_full(c[ENTRY_MASK], c[N_IDS] + 1):
        return np.int64(ENTRY_TABLE), c[N_IDS] + 1
    return _shortage_of_change(address, m, key)


@inner
def _shortage_of_change(address: Any, m: Any, key: Any) -> Any:
    """For what follows: the first reference of an element may bring everything above it onto the hull."""
    c = m.counters
    first = key < PLACES and m.references[key] == np.inf
    if first and c[N_RECORDS] > address[N_ARRAYS + SOME]:
        return np.int64(SOME), c[N_RECORDS]
    if first and (c[N_RECORDS] + c[LARGEST_SYSTEM] + 2 + MAX_ELEMENTS) > address[N_ARRAYS + OWNERS]:
        return np.int64(OWNERS), c[N_RECORDS] + c[LARGEST_SYSTEM] + 2 + MAX_ELEMENTS
    if first and (c[N_RECORDS] + c[LARGEST_SYSTEM] + 2 + MAX_ELEMENTS) * (MAX_ELEMENTS + 1) > address[N_ARRAYS + WORK]:
        return np.int64(WORK), (c[N_RECORDS] + c[LARGEST_SYSTEM] + 2 + MAX_ELEMENTS) * (MAX_ELEMENTS + 1)
    events = (c[N_EVENTS] + 2 + PLACES + (c[N_COMPOSITIONS] if first else c[N_NEAR])) * EVENT
    if events > address[N_ARRAYS + EVENTS]:
        return np.int64(EVENTS), events
    columns = c[COLUMNS_USED] + (room_above(m, key)[0] if first else 2 * c[LARGEST_BLOCK] + 64)
    if columns > address[N_ARRAYS + COLUMNS]:
        return np.int64(COLUMNS), columns
    return np.int64(ENOUGH), np.int64(0)


@inner
def _is_full(mask: Any, count: Any) -> Any:
    return 10 * count > _LOAD * (mask + 1)


def grown(memory: Memory, what: int, needed: int) -> Memory:
    """The memory with at least so much of what is short. Raises Full."""
    name = Memory._fields[what]
    if name not in MASK_OF:
        return memory._replace(**{name: _longer(getattr(memory, name), needed)})
    old = getattr(memory, name)
    table = np.zeros(2 * len(old), np.int64)
    while 10 * needed > _LOAD * len(table):
        table = np.zeros(2 * len(table), np.int64)
    memory.counters[MASK_OF[name]] = len(table) - 1
    replaced: dict[str, Any] = {name: table}
    larger = memory._replace(**replaced)
    _rehash(larger.addresses(), old, table, what)
    return larger


def fitted(memory: Memory) -> Memory:
    """The memory with enough scratch for every question: a snapshot has none."""
    counters = memory.counters
    columns = int(counters[N_NEAR] + counters[LARGEST_SYSTEM]) + 2 + MAX_ELEMENTS
    needs = {ABOVE: int(counters[N_SYSTEMS]) + 1, OWNERS: columns, WORK: columns * (MAX_ELEMENTS + 1)}
    for what, needed in needs.items():
        if memory[what].size < needed:
            memory = grown(memory, what, needed)
    return memory


def _longer(array: Any, needed: int) -> Any:
    if needed > _LARGEST:
        raise Full(f"{needed} words in one array; offsets end at {_LARGEST}")
    longer = np.zeros(min(max(needed, int(len(array) * _GROWTH) // 8 * 8), _LARGEST), array.dtype)
    longer[: len(array)] = array
    return longer


@kernel
def _rehash(address: Any, old: Any, table: Any, what: Any) -> None:
    """Fill the larger table from the old one."""
    m = tables(address)
    mask, count = table.size - 1, 0
    for slot in old:
        item = item_of(slot)
        if slot == EMPTY:
            continue
        if what == TRIPLE_TABLE:
            key = m.triples[item * TRIPLE]
            put(table, mask, hash_of(key, key), item)
        elif what == SYSTEM_TABLE:
            key = m.pool[item + KEY]
            put(table, mask, hash_of(key, key), item)
        elif what == BLOCK_TABLE:
            key = m.columns_i[item]
            put(table, mask, hash_of(key, key), item)
        elif what == COMPOSITION_TABLE:
            system = np.int64(m.pool_h[2 * item + SYSTEM])
            put(table, mask, hash_of(m.pool[system + KEY], m.pool[item + AMOUNTS]), item)
        elif m.entries_h[2 * ENTRY_WORDS * item + ENTRY_COMPOSITION] != 0 and not _is_there(m, table, mask, item):
            put(table, mask, hash_of_id(m.entries[item * ENTRY_WORDS + ENTRY_ID]), item)
            count += 1
    if what == ENTRY_TABLE:
        m.counters[N_IDS] = count


@inner
def _is_there(m: Any, table: Any, mask: Any, row: Any) -> Any:
    """Whether a row has its slot already: a row that was used again left the slot of the entry before behind."""
    place = hash_of_id(m.entries[row * ENTRY_WORDS + ENTRY_ID]) & mask
    while table[place] != EMPTY:
        if item_of(table[place]) == row:
            return True
        place = (place + 1) & mask
    return False
