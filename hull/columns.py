"""Which phases compete at a composition: blocks of what is near the hull, gathered into one programme."""

from __future__ import annotations

from typing import Any

import numpy as np

from hull.compiled import inner
from hull.hashing import EMPTY, has_tag, hash_of, item_of, put, replace
from hull.memory import (
    AMOUNTS,
    BLOCK,
    BLOCK_MASK,
    BLOCK_WORDS,
    CAPACITY,
    COLUMN,
    COLUMNS_USED,
    ENERGY,
    FIRST,
    FREE_SIZES,
    KEY,
    LARGEST_BLOCK,
    MEMBERS,
    N_BLOCKS,
    N_NEAR,
    NEXT,
    PAIR,
    PAIR_BLOCK,
    PLACES,
    SYSTEM,
)
from hull.systems import element_at, find_system, pair_of, size_of, systems_above

_IN_ORDER = 0x876543210  # places of a system's own elements


@inner
def fractions_into(m: Any, amounts: Any, d: Any, array: Any, start: Any) -> None:
    """Atomic fractions of packed amounts."""
    total = 0.0
    if amounts < 0:
        for i in range(d):
            array[start + i] = m.wide[(-1 - amounts) * 9 + i]
            total += array[start + i]
    else:
        for i in range(d):
            array[start + i] = (amounts >> (7 * i)) & 127
            total += array[start + i]
    for i in range(d):
        array[start + i] /= total


@inner
def column_count(m: Any, block: Any) -> Any:
    """How many columns a block has; none where there is no block."""
    return m.columns_i[block + 1] if block != 0 else np.int64(0)


@inner
def add_column(m: Any, composition: Any) -> None:
    """A composition comes near the hull. Room must be there."""
    system = np.int64(m.pool_h[2 * composition + SYSTEM])
    d = size_of(m.pool[system + KEY])
    block = np.int64(m.pool_h[2 * system + BLOCK])
    count = column_count(m, block)
    if count == m.pool_h[2 * system + CAPACITY]:
        block = _widen(m, system, d, count)
    start = block + BLOCK_WORDS + count * (d + 2)
    fractions_into(m, m.pool[composition + AMOUNTS], d, m.columns, start + 1)
    m.columns_i[start + 1 + d] = composition
    m.columns_i[block + 1] = count + 1
    m.pool_h[2 * composition + COLUMN] = count
    m.counters[N_NEAR] += 1
    set_cost(m, composition)


@inner
def set_cost(m: Any, composition: Any) -> None:
    """Tell the composition's column of its energy and of the present references."""
    system = np.int64(m.pool_h[2 * composition + SYSTEM])
    key = m.pool[system + KEY]
    d = size_of(key)
    block, place = np.int64(m.pool_h[2 * system + BLOCK]), np.int64(m.pool_h[2 * composition + COLUMN])
    start = block + BLOCK_WORDS + place * (d + 2)
    cost = m.pool_f[composition + ENERGY]
    for i in range(d):
        cost -= m.columns[start + 1 + i] * m.references[element_at(key, i)]
    m.columns[start] = cost


@inner
def remove_column(m: Any, composition: Any) -> None:
    """A composition is near the hull no more; the last column takes its place."""
    system = np.int64(m.pool_h[2 * composition + SYSTEM])
    width = size_of(m.pool[system + KEY]) + 2
    block, place = np.int64(m.pool_h[2 * system + BLOCK]), np.int64(m.pool_h[2 * composition + COLUMN])
    last = m.columns_i[block + 1] - 1
    if place != last:
        to, start = block + BLOCK_WORDS + place * width, block + BLOCK_WORDS + last * width
        for i in range(width):
            m.columns_i[to + i] = m.columns_i[start + i]
        m.pool_h[2 * m.columns_i[to + width - 1] + COLUMN] = place
    m.columns_i[block + 1] = last
    m.counters[N_NEAR] -= 1


@inner
def _widen(m: Any, system: Any, d: Any, count: Any) -> Any:
    """Move a system's columns into a block of twice the capacity: one that was given back, or a new one."""
    key, old = m.pool[system + KEY], np.int64(m.pool_h[2 * system + BLOCK])
    size = 0
    while (1 << size) <= count:
        size += 1
    block = m.free_blocks[d * FREE_SIZES + size]
    if block != 0:
        m.free_blocks[d * FREE_SIZES + size] = m.columns_i[block]
    else:
        block = m.counters[COLUMNS_USED]
        m.counters[COLUMNS_USED] += BLOCK_WORDS + ((d + 2) << size)
    m.columns_i[block] = key
    m.columns_i[block + 1] = count
    if d > 2:
        if old == 0:
            put(m.block_table, m.counters[BLOCK_MASK], hash_of(key, key), block)
            m.counters[N_BLOCKS] += 1
        else:
            replace(m.block_table, m.counters[BLOCK_MASK], hash_of(key, key), old, block)
    else:
        m.pairs[pair_of(key) * PAIR + PAIR_BLOCK] = block
    if old != 0:
        for i in range(BLOCK_WORDS, BLOCK_WORDS + count * (d + 2)):
            m.columns_i[block + i] = m.columns_i[old + i]
        m.columns_i[old] = m.free_blocks[d * FREE_SIZES + size - 1]
        m.free_blocks[d * FREE_SIZES + size - 1] = old
    m.pool_h[2 * system + BLOCK] = block
    m.pool_h[2 * system + CAPACITY] = np.int32(1) << size
    m.counters[LARGEST_BLOCK] = max(m.counters[LARGEST_BLOCK], BLOCK_WORDS + ((d + 2) << size))
    return block


@inner
def room_above(m: Any, key: Any) -> Any:
    """The words that `columns` may need if every composition of these elements and of more came near the hull.

    And how many compositions these are.
    """
    words, compositions = _room_of(m, find_system(m, key))
    for i in range(systems_above(m, key)):
        more, others = _room_of(m, np.int64(m.above[i]))
        words += more
        compositions += others
    return words, compositions


@inner
def _room_of(m: Any, system: Any) -> Any:
    """Of one system: a block that grows leaves as much behind as it takes."""
    if system == 0:
        return np.int64(0), np.int64(0)
    members = np.int64(m.pool_h[2 * system + MEMBERS])
    return 4 * (BLOCK_WORDS + (members + 1) * (size_of(m.pool[system + KEY]) + 2)), members


@inner
def _block_of(m: Any, key: Any) -> Any:
    """The columns of a system of three elements or more, or 0."""
    hashed, mask = hash_of(key, key), m.counters[BLOCK_MASK]
    place = hashed & mask
    while m.block_table[place] != EMPTY:
        slot = m.block_table[place]
        if has_tag(slot, hashed) and m.columns_i[item_of(slot)] == key:
            return item_of(slot)
        place = (place + 1) & mask
    return np.int64(0)


@inner
def gather(m: Any, key: Any, d: Any, system: Any, alone: Any) -> Any:
    """Write the columns of a system's programmes into `work`: the elements, then what is near the hull in it and below.

    system: of this key, or 0 where there is none. alone: 0, or the one composition whose programme it is: its own
    system then takes part as a whole but for itself. Returns the number of columns.
    """
    work, pairs = m.work, m.pairs
    for i in range(d):
        for j in range(d + 1):
            work[i * (d + 1) + j] = 1.0 if j == i + 1 else 0.0
        element = element_at(key, i)
        m.owners[i] = m.pool_h[2 * np.int64(pairs[(element * PLACES + element) * PAIR]) + FIRST]
    count = np.int64(d)
    if d > 2:
        for i in range(d):
            for j in range(i + 1, d):
                pair = (element_at(key, i) * PLACES + element_at(key, j)) * PAIR
                block = np.int64(pairs[pair + PAIR_BLOCK])
                if block != 0:
                    count = _take(m, block, 2, np.int64(i | j << 4), d, count)
    if d > 3:
        for i in range(d):
            for j in range(i + 1, d):
                part = element_at(key, i) | element_at(key, j) << 7
                for k in range(j + 1, d):
                    block = _block_of(m, part | element_at(key, k) << 14)
                    if block != 0:
                        count = _take(m, block, 3, np.int64(i | j << 4 | k << 8), d, count)
    if d > 4:
        count = _take_larger(m, key, d, count)
    if alone != 0:
        return _take_everything(m, key, d, alone, count)
    block = np.int64(m.pool_h[2 * system + BLOCK]) if system != 0 else np.int64(0)
    if block != 0:
        count = _take(m, block, d, _IN_ORDER, d, count)
    return count


@inner
def _take(m: Any, block: Any, size: Any, places: Any, d: Any, count: Any) -> Any:
    """The columns of one system. places: of its elements among the d of the programme, 4 bits each."""
    work, columns, owners = m.work, m.columns, m.owners
    start = block + BLOCK_WORDS
    at = count * (d + 1)
    for _ in range(m.columns_i[block + 1]):
        for i in range(1, d + 1):
            work[at + i] = 0.0
        work[at] = columns[start]
        for i in range(size):
            work[at + 1 + (places >> (4 * i) & 15)] = columns[start + 1 + i]
        owners[count] = m.columns_i[start + 1 + size]
        count += 1
        at += d + 1
        start += size + 2
    return count


@inner
def _take_larger(m: Any, key: Any, d: Any, count: Any) -> Any:
    """Of all systems of four elements and more, and fewer than d."""
    for mask in range(15, (1 << d) - 1):
        part, places, size = np.int64(0), np.int64(0), 0
        for i in range(d):
            if mask >> i & 1:
                part |= element_at(key, i) << (7 * size)
                places |= np.int64(i) << (4 * size)
                size += 1
        if size > 3:
            block = _block_of(m, part)
            if block != 0:
                count = _take(m, block, size, places, d, count)
    return count


@inner
def _take_everything(m: Any, key: Any, d: Any, alone: Any, count: Any) -> Any:
    """All compositions of a system but one."""
    work, system = m.work, np.int64(m.pool_h[2 * alone + SYSTEM])
    composition = np.int64(m.pool_h[2 * system + FIRST])
    while composition != 0:
        energy = m.pool_f[composition + ENERGY]
        if composition != alone and energy < np.inf:
            at = count * (d + 1)
            fractions_into(m, m.pool[composition + AMOUNTS], d, work, at + 1)
            for i in range(d):
                energy -= work[at + 1 + i] * m.references[element_at(key, i)]
            work[at] = energy
            m.owners[count] = composition
            count += 1
        composition = np.int64(m.pool_h[2 * composition + NEXT])
    return count
