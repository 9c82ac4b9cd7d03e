"""Chemical systems: their records, and which systems contain which."""

from __future__ import annotations

from typing import Any

import numpy as np

from hull.compiled import inner
from hull.hashing import EMPTY, has_tag, hash_of, item_of, put
from hull.memory import (
    BLOCK,
    CAPACITY,
    CHUNK,
    FIRST,
    KEY,
    LAST_SYSTEM,
    LINKS_USED,
    MEMBERS,
    N_SYSTEMS,
    NEXT_SYSTEM,
    PAIR,
    PAIR_LENGTH,
    PAIR_LIST,
    PLACES,
    POOL_USED,
    SYSTEM_MASK,
    SYSTEM_WORDS,
    TRIPLE,
    TRIPLE_MASK,
    TRIPLES_USED,
)

_LENGTH = 0xFFFFFFFF  # the lower half of a word that holds a list


@inner
def size_of(key: Any) -> Any:
    """The number of elements of a key."""
    d = 0
    while key != 0:
        key >>= 7
        d += 1
    return d


@inner
def element_at(key: Any, place: Any) -> Any:
    return (key >> (7 * place)) & 127


@inner
def is_subset(small: Any, large: Any) -> Any:
    """Whether a key's elements are all among another's."""
    while small != 0:
        while large != 0 and (large & 127) < (small & 127):
            large >>= 7
        if large == 0 or (large & 127) != (small & 127):
            return False
        small >>= 7
        large >>= 7
    return True


@inner
def find_system(m: Any, key: Any) -> Any:
    """The system of a key, or 0."""
    if key < PLACES * PLACES:
        return np.int64(m.pairs[pair_of(key) * PAIR])
    hashed, mask = hash_of(key, key), m.counters[SYSTEM_MASK]
    place = hashed & mask
    while m.system_table[place] != EMPTY:
        slot = m.system_table[place]
        if has_tag(slot, hashed) and m.pool[item_of(slot) + KEY] == key:
            return item_of(slot)
        place = (place + 1) & mask
    return np.int64(0)


@inner
def pair_of(key: Any) -> Any:
    """Where the key of one element or two stands among the pairs."""
    low, high = key & 127, key >> 7
    return low * PLACES + (high if high else low)


@inner
def add_system(m: Any, key: Any) -> Any:
    """A new system. Room must be there."""
    system = m.counters[POOL_USED]
    m.counters[POOL_USED] += SYSTEM_WORDS
    m.counters[N_SYSTEMS] += 1
    m.pool[system + KEY] = key
    for half in (FIRST, MEMBERS, BLOCK, CAPACITY):
        m.pool_h[2 * system + half] = 0
    m.pool_h[2 * system + NEXT_SYSTEM] = np.int32(m.counters[LAST_SYSTEM])
    m.counters[LAST_SYSTEM] = system
    if key < PLACES * PLACES:
        m.pairs[pair_of(key) * PAIR] = np.int32(system)
        return system
    put(m.system_table, m.counters[SYSTEM_MASK], hash_of(key, key), system)
    _link(m, key, system)
    return system


@inner
def _link(m: Any, key: Any, system: Any) -> None:
    """Note a system of three elements and more in the lists of its pairs and triples."""
    d = size_of(key)
    for i in range(d):
        for j in range(i + 1, d):
            low, high = element_at(key, i), element_at(key, j)
            pair = (low * PLACES + high) * PAIR
            length = np.int64(m.pairs[pair + PAIR_LENGTH])
            m.pairs[pair + PAIR_LIST] = _push(m, m.pairs[pair + PAIR_LIST], length, system)
            m.pairs[pair + PAIR_LENGTH] = length + 1
            if d == 3:
                continue
            for k in range(j + 1, d):
                triple = _triple(m, low | (high << 7) | (element_at(key, k) << 14))
                word = triple * TRIPLE + (1 if d == 4 else 2)
                length = m.triples[word] & _LENGTH
                chunk = _push(m, np.int32(m.triples[word] >> 32), length, system)
                m.triples[word] = (np.int64(chunk) << 32) | (length + 1)


@inner
def _push(m: Any, chunk: Any, length: Any, system: Any) -> Any:
    """Append to a list; says in which chunk it goes on."""
    place = length % (CHUNK - 1)
    if place == 0:
        new = m.counters[LINKS_USED]
        m.counters[LINKS_USED] += 1
        m.links[new * CHUNK + CHUNK - 1] = chunk
        chunk = np.int32(new)
    m.links[np.int64(chunk) * CHUNK + place] = system
    return chunk


@inner
def find_triple(m: Any, key: Any) -> Any:
    """The node of three elements, or 0."""
    hashed, mask = hash_of(key, key), m.counters[TRIPLE_MASK]
    place = hashed & mask
    while m.triple_table[place] != EMPTY:
        slot = m.triple_table[place]
        if has_tag(slot, hashed) and m.triples[item_of(slot) * TRIPLE] == key:
            return item_of(slot)
        place = (place + 1) & mask
    return np.int64(0)


@inner
def _triple(m: Any, key: Any) -> Any:
    """The node of three elements, made if it is new."""
    node = find_triple(m, key)
    if node == 0:
        node = m.counters[TRIPLES_USED]
        m.counters[TRIPLES_USED] += 1
        m.triples[node * TRIPLE] = key
        m.triples[node * TRIPLE + 1] = 0
        m.triples[node * TRIPLE + 2] = 0
        put(m.triple_table, m.counters[TRIPLE_MASK], hash_of(key, key), node)
    return node


@inner
def systems_above(m: Any, key: Any) -> Any:
    """Write every system that contains all elements of a key and more into `above`; says how many there are."""
    d = size_of(key)
    if d == 1:
        return _above_element(m, key)
    if d == 2:
        pair = pair_of(key) * PAIR
        return _read_list(m, m.pairs[pair + PAIR_LIST], np.int64(m.pairs[pair + PAIR_LENGTH]), np.int64(0))
    if d == 3:
        node = find_triple(m, key)
        if node == 0:
            return np.int64(0)
        first, second = m.triples[node * TRIPLE + 1], m.triples[node * TRIPLE + 2]
        count = _read_list(m, np.int32(first >> 32), first & _LENGTH, np.int64(0))
        return _read_list(m, np.int32(second >> 32), second & _LENGTH, count)
    return _above_many(m, key, d)


@inner
def _read_list(m: Any, chunk: Any, length: Any, count: Any) -> Any:
    """Copy a list; says how many systems there are now."""
    left = length
    while left > 0:
        here = left - (left - 1) // (CHUNK - 1) * (CHUNK - 1)
        start = np.int64(chunk) * CHUNK
        for i in range(here):
            m.above[count] = m.links[start + i]
            count += 1
        left -= here
        chunk = m.links[start + CHUNK - 1]
    return count


@inner
def _above_element(m: Any, key: Any) -> Any:
    """Of all systems."""
    count = np.int64(0)
    system = m.counters[LAST_SYSTEM]
    while system != 0:
        other = m.pool[system + KEY]
        if other != key and is_subset(key, other):
            m.above[count] = system
            count += 1
        system = np.int64(m.pool_h[2 * system + NEXT_SYSTEM])
    return count


@inner
def _above_many(m: Any, key: Any, d: Any) -> Any:
    """Of four elements and more: the shortest list of their triples holds them all."""
    best, shortest = np.int64(0), np.int64(1) << 40
    for i in range(d):
        for j in range(i + 1, d):
            for k in range(j + 1, d):
                node = find_triple(m, element_at(key, i) | (element_at(key, j) << 7) | (element_at(key, k) << 14))
                length = m.triples[node * TRIPLE + 2] & _LENGTH if node else np.int64(0)
                if length == 0:
                    return np.int64(0)
                if length < shortest:
                    best, shortest = node, length
    _read_list(m, np.int32(m.triples[best * TRIPLE + 2] >> 32), shortest, np.int64(0))
    count = np.int64(0)
    for i in range(shortest):
        other = m.pool[np.int64(m.above[i]) + KEY]
        if other != key and is_subset(key, other):
            m.above[count] = m.above[i]
            count += 1
    return count
