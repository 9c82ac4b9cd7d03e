"""Hash tables of 64-bit slots: open addressing, linear probing, a power of two of them.

A slot holds an item, a positive 32-bit number that says where the key lies, in its lower half, and a part of the hash
in its upper half, so that hardly any wrong key is ever fetched. 0 is empty. Nothing is ever removed; an item that is
gone is marked where it lies. mask: the number of slots less one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hull.compiled import inner

EMPTY = 0
_FIRST, _SECOND, _THIRD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_29, _32 = np.uint64(29), np.uint64(32)
_POSITIVE = np.uint64(0x7FFFFFFFFFFFFFFF)
_TAG = np.int64(0x7FFFFFFF) << np.int64(32)
_ITEM = np.int64(0xFFFFFFFF)


@inner
def hash_of(first: Any, second: Any) -> Any:
    """Of two int64: mixed bits, an int64 >= 0."""
    mixed = (np.uint64(first) * _FIRST) ^ (np.uint64(second) * _SECOND)
    mixed = (mixed ^ (mixed >> _32)) * _THIRD
    mixed ^= mixed >> _29
    return np.int64(mixed & _POSITIVE)


@inner
def hash_of_id(number: Any) -> Any:
    """Of an entry id: eight neighbours share a cache line, so that numbers in sequence are quick."""
    return (hash_of(number >> 3, number >> 3) & ~np.int64(7)) | (number & 7)


@inner
def item_of(slot: Any) -> Any:
    return slot & _ITEM


@inner
def has_tag(slot: Any, hashed: Any) -> Any:
    return (slot & _TAG) == (hashed & _TAG)


@inner
def put(table: Any, mask: Any, hashed: Any, item: Any) -> None:
    """Store an item that is not in the table yet. A slot must be free."""
    place = hashed & mask
    while table[place] != EMPTY:
        place = (place + 1) & mask
    table[place] = (hashed & _TAG) | item


@inner
def replace(table: Any, mask: Any, hashed: Any, old: Any, new: Any) -> None:
    """Put an item into the slot of another of the same key, which must be there."""
    place = hashed & mask
    while item_of(table[place]) != old or not has_tag(table[place], hashed):
        place = (place + 1) & mask
    table[place] = (hashed & _TAG) | new
