"""An entry arrives: what the hull is where it lands, and how far the change reaches."""

from __future__ import annotations

from typing import Any

import numpy as np

from hull.columns import column_count, gather, set_cost
from hull.compiled import inner, kernel, prefetch
from hull.compositions import (
    DETHRONED,
    RESOLVE_TOLERANCE,
    STABLE,
    add_composition,
    composition_of,
    energy_of,
    find_composition,
    is_defined,
    is_lower,
    judge,
    lean_over,
    note_event,
    note_moved,
    set_flags,
    solve,
    undercut,
)
from hull.hashing import hash_of, hash_of_id, item_of, put
from hull.memory import (
    BLOCK,
    BLOCK_WORDS,
    COMPOSITION_MASK,
    ENERGY,
    ENTRIES_USED,
    ENTRY_COMPOSITION,
    ENTRY_ENERGY,
    ENTRY_ID,
    ENTRY_MASK,
    ENTRY_NEXT,
    ENTRY_WORDS,
    FIRST,
    FLAGS,
    FREE_ENTRY,
    HULL,
    KEY,
    LOWEST,
    N_COMPOSITIONS,
    N_ENTRIES,
    N_IDS,
    NEAR,
    NEXT,
    OTHERS,
    SYSTEM,
    VERTEX,
    tables,
)
from hull.room import ENOUGH, shortage
from hull.systems import size_of, systems_above

_AHEAD = 8  # entries, and systems, whose memory is asked for before it is needed


@kernel
def insert_many(
    address: Any, ids: Any, keys: Any, amounts: Any, energies: Any, start: Any, arrivals: Any, lowered: Any
) -> Any:
    """Insert entries from number `start` on. Returns how far it came, what is short (room.py), and how much is needed.

    arrivals: (n, 2), e_above_hull_on_arrival and decomposition energy; nan where undefined. lowered: 0, or the row of
    the one entry that is there already and gets its lower energy instead (one kernel less to compile).
    """
    m = tables(address)
    for number in range(start, ids.size):
        short, needed = shortage(address, m, keys[number])
        if short != ENOUGH:
            return number, short, needed
        if lowered != 0:
            _lower(m, lowered, keys[number], energies[number], number)
            continue
        _look_ahead(m, ids, keys, amounts, number)
        row = _new_row(m, ids[number], energies[number])
        _insert(m, row, keys[number], amounts[number], number, arrivals)
    return ids.size, np.int64(ENOUGH), np.int64(0)


@inner
def _lower(m: Any, row: Any, key: Any, energy: Any, step: Any) -> None:
    """Give an entry a lower energy."""
    composition = composition_of(m, row)
    if np.int64(m.pool_h[2 * composition + LOWEST]) != row:
        unlink(m, composition, row)
        m.entries_f[row * ENTRY_WORDS + ENTRY_ENERGY] = energy
        _arrive(m, composition, row, key, size_of(key), step)
        return
    m.entries_f[row * ENTRY_WORDS + ENTRY_ENERGY] = energy
    m.pool_f[composition + ENERGY] = energy
    note_moved(m, composition)
    _lowered(m, composition, key, size_of(key), step)


@inner
def _look_ahead(m: Any, ids: Any, keys: Any, amounts: Any, number: Any) -> None:
    """Fetch the hash slots of entries to come, and the compositions of nearer ones."""
    far, near = number + 2 * _AHEAD, number + _AHEAD
    if far < ids.size:
        prefetch(m.composition_table, hash_of(keys[far], amounts[far]) & m.counters[COMPOSITION_MASK])
        prefetch(m.entry_table, hash_of_id(ids[far]) & m.counters[ENTRY_MASK])
        slot = m.composition_table[hash_of(keys[near], amounts[near]) & m.counters[COMPOSITION_MASK]]
        if slot != 0:
            prefetch(m.pool, item_of(slot))


@inner
def _new_row(m: Any, entry_id: Any, energy: Any) -> Any:
    row = m.counters[FREE_ENTRY]
    if row != 0:
        m.counters[FREE_ENTRY] = m.entries_h[2 * ENTRY_WORDS * row + ENTRY_NEXT]
    else:
        row = m.counters[ENTRIES_USED]
        m.counters[ENTRIES_USED] += 1
    m.entries_f[row * ENTRY_WORDS + ENTRY_ENERGY] = energy
    m.entries[row * ENTRY_WORDS + ENTRY_ID] = entry_id
    put(m.entry_table, m.counters[ENTRY_MASK], hash_of_id(entry_id), row)
    m.counters[N_IDS] += 1
    return row


@inner
def _insert(m: Any, row: Any, key: Any, amounts: Any, step: Any, arrivals: Any) -> None:
    """Put a new entry where it belongs, and note where it met the hull."""
    d = size_of(key)
    energy = energy_of(m, row)
    composition = find_composition(m, key, amounts)
    if composition == 0:
        composition = add_composition(m, key, amounts, d)
    lowest = m.pool_f[composition + ENERGY]
    if lowest == np.inf:
        m.counters[N_COMPOSITIONS] += 1
        note_moved(m, composition)
        if d > 1 and is_defined(m, key):
            solve(m, composition, key, d, gather(m, key, d, np.int64(m.pool_h[2 * composition + SYSTEM]), np.int64(0)))
    hull = m.pool_f[composition + HULL]
    arrivals[step, 0] = energy - min(lowest, hull)
    arrivals[step, 1] = energy - hull
    if d == 1:
        arrivals[step, 0] = energy - lowest if lowest < np.inf else np.nan
    elif hull != hull:
        arrivals[step, 0] = np.nan
    m.counters[N_ENTRIES] += 1
    _arrive(m, composition, row, key, d, step)


@inner
def _arrive(m: Any, composition: Any, row: Any, key: Any, d: Any, step: Any) -> None:
    """An entry that is in no list joins its composition."""
    m.entries_h[2 * ENTRY_WORDS * row + ENTRY_COMPOSITION] = composition
    old = np.int64(m.pool_h[2 * composition + LOWEST])
    if old != 0 and not is_lower(m, row, old):
        m.entries_h[2 * ENTRY_WORDS * row + ENTRY_NEXT] = m.pool_h[2 * composition + OTHERS]
        m.pool_h[2 * composition + OTHERS] = row
        return
    if old != 0:
        m.entries_h[2 * ENTRY_WORDS * old + ENTRY_NEXT] = m.pool_h[2 * composition + OTHERS]
        m.pool_h[2 * composition + OTHERS] = old
    m.entries_h[2 * ENTRY_WORDS * row + ENTRY_NEXT] = 0
    m.pool_h[2 * composition + LOWEST] = row
    note_moved(m, composition)
    if m.pool_h[2 * composition + FLAGS] & VERTEX:
        note_event(m, np.int64(DETHRONED), old, step)
        note_event(m, np.int64(STABLE), row, step)
    if energy_of(m, row) < m.pool_f[composition + ENERGY]:
        m.pool_f[composition + ENERGY] = energy_of(m, row)
        _lowered(m, composition, key, d, step)


@inner
def unlink(m: Any, composition: Any, row: Any) -> None:
    """Take an entry out of its composition's list. The lowest is followed by the lowest of the others."""
    if m.pool_h[2 * composition + LOWEST] != row:
        _unlink_other(m, composition, row)
        return
    heir = np.int64(m.pool_h[2 * composition + OTHERS])
    other = heir
    while other != 0:
        if is_lower(m, other, heir):
            heir = other
        other = np.int64(m.entries_h[2 * ENTRY_WORDS * other + ENTRY_NEXT])
    m.pool_h[2 * composition + LOWEST] = 0
    if heir != 0:
        _unlink_other(m, composition, heir)
        m.pool_h[2 * composition + LOWEST] = heir


@inner
def _unlink_other(m: Any, composition: Any, row: Any) -> None:
    """Take an entry that is not the lowest out of its composition's list."""
    after = m.entries_h[2 * ENTRY_WORDS * row + ENTRY_NEXT]
    other = np.int64(m.pool_h[2 * composition + OTHERS])
    if other == row:
        m.pool_h[2 * composition + OTHERS] = after
        return
    while m.entries_h[2 * ENTRY_WORDS * other + ENTRY_NEXT] != row:
        other = np.int64(m.entries_h[2 * ENTRY_WORDS * other + ENTRY_NEXT])
    m.entries_h[2 * ENTRY_WORDS * other + ENTRY_NEXT] = after


@inner
def _lowered(m: Any, composition: Any, key: Any, d: Any, step: Any) -> None:
    """A composition has a lower lowest energy than before, or its first."""
    if d == 1:
        first = m.references[key] == np.inf
        m.references[key] = m.pool_f[composition + ENERGY]
        if first:
            m.pool_h[2 * composition + FLAGS] |= NEAR | VERTEX
            note_event(m, np.int64(STABLE), np.int64(m.pool_h[2 * composition + LOWEST]), step)
            solve_together(m, _waiting_for(m, key), np.int64(STABLE), step)
            return
        shift_costs(m, key)
        _propagate(m, composition, key, d, True, step)
    elif m.pool_f[composition + HULL] == m.pool_f[composition + HULL]:
        judge(m, composition, np.int64(STABLE), step)
        _propagate(m, composition, key, d, m.pool_h[2 * composition + FLAGS] & NEAR != 0, step)


@inner
def shift_costs(m: Any, key: Any) -> None:
    """A reference is another than before: so are the formation energies of the columns with this element."""
    for i in range(systems_above(m, key)):
        system = np.int64(m.above[i])
        width = size_of(m.pool[system + KEY]) + 2
        block = np.int64(m.pool_h[2 * system + BLOCK])
        for j in range(column_count(m, block)):
            set_cost(m, m.columns_i[block + BLOCK_WORDS + (j + 1) * width - 1])


@inner
def _propagate(m: Any, composition: Any, key: Any, d: Any, near: Any, step: Any) -> None:
    """Solve again whatever a lower energy undercuts: in its own system, and if it is near the hull in all above."""
    if d > 1:
        _undercut_system(m, composition, np.int64(m.pool_h[2 * composition + SYSTEM]), key, d, near, step)
    if near:
        count = systems_above(m, key)
        for i in range(count):
            if i + _AHEAD < count:
                ahead = np.int64(m.above[i + _AHEAD])
                prefetch(m.pool, ahead)
                prefetch(m.pool, ahead + 8)
            _undercut_system(m, composition, np.int64(m.above[i]), key, d, True, step)


@inner
def _undercut_system(m: Any, composition: Any, system: Any, key: Any, d: Any, all_of_them: Any, step: Any) -> None:
    """The compositions of one system that a lower energy undercuts. Those near the hull first: some leave it."""
    large = m.pool[system + KEY]
    size = size_of(large)
    lean_over(m, composition, key, d, large)
    energy = m.pool_f[composition + ENERGY]
    block = np.int64(m.pool_h[2 * system + BLOCK])
    for i in range(column_count(m, block) - 1, -1, -1):
        other = m.columns_i[block + BLOCK_WORDS + (i + 1) * (size + 2) - 1]
        if other != composition and undercut(m, other, energy, d) < -RESOLVE_TOLERANCE:
            solve(m, other, large, size, gather(m, large, size, system, other))
            judge(m, other, np.int64(STABLE), step)
    if not all_of_them:
        return
    gathered = np.int64(0)
    other = np.int64(m.pool_h[2 * system + FIRST])
    while other != 0:
        following = np.int64(m.pool_h[2 * other + NEXT])
        if (
            undercut(m, other, energy, d) < -RESOLVE_TOLERANCE
            and m.pool_h[2 * other + FLAGS] & NEAR == 0
            and other != composition
        ):
            if gathered == 0:
                gathered = gather(m, large, size, system, np.int64(0))
            solve(m, other, large, size, gathered)
        other = following


@inner
def _waiting_for(m: Any, key: Any) -> Any:
    """Write the compositions that become defined with the reference of this element into `some`; says how many."""
    count = np.int64(0)
    for i in range(systems_above(m, key)):
        system = np.int64(m.above[i])
        if not is_defined(m, m.pool[system + KEY]):
            continue
        composition = np.int64(m.pool_h[2 * system + FIRST])
        while composition != 0:
            if m.pool_f[composition + ENERGY] < np.inf:
                m.some[count] = composition
                count += 1
            composition = np.int64(m.pool_h[2 * composition + NEXT])
    return count


@inner
def solve_together(m: Any, count: Any, kind: Any, step: Any) -> None:
    """Solve the compositions in `some`, which may come onto the hull side by side: each is a column of the others'."""
    for i in range(count):
        composition = np.int64(m.some[i])
        set_flags(m, composition, True, m.pool_h[2 * composition + FLAGS] & VERTEX != 0)
    for i in range(count):
        composition = np.int64(m.some[i])
        system = np.int64(m.pool_h[2 * composition + SYSTEM])
        key = m.pool[system + KEY]
        d = size_of(key)
        solve(m, composition, key, d, gather(m, key, d, system, composition))
    for i in range(count):
        judge(m, np.int64(m.some[i]), kind, step)
