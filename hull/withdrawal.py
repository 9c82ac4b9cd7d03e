"""An entry leaves: whatever leaned on it is solved again, and what it kept off the hull comes back."""

from __future__ import annotations

from typing import Any

import numpy as np

from hull.columns import room_above
from hull.compiled import inner, kernel
from hull.compositions import (
    DETHRONED,
    NEAR_MARGIN,
    RESTORED,
    composition_of,
    energy_of,
    judge,
    lean_over,
    note_event,
    note_moved,
    set_flags,
    system_of,
    undefine,
    undercut,
)
from hull.landscape import shift_costs, solve_together, unlink
from hull.memory import (
    COLUMNS_USED,
    ENERGY,
    ENTRY_COMPOSITION,
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
    NEAR,
    NEXT,
    SYSTEM,
    VERTEX,
    tables,
)
from hull.systems import size_of, systems_above


@kernel
def room_to_withdraw(address: Any, row: Any) -> Any:
    """The words of `columns`, and the compositions, that there must be room for before an entry is withdrawn."""
    m = tables(address)
    words, compositions = room_above(m, m.pool[system_of(m, composition_of(m, row)) + KEY])
    return m.counters[COLUMNS_USED] + words, compositions


@kernel
def withdraw(address: Any, row: Any) -> None:
    """Take an entry out. Room must be there."""
    m = tables(address)
    composition = composition_of(m, row)
    system = system_of(m, composition)
    key = m.pool[system + KEY]
    d = size_of(key)
    was_lowest = m.pool_h[2 * composition + LOWEST] == row
    unlink(m, composition, row)
    m.counters[N_ENTRIES] -= 1
    m.entries_h[2 * ENTRY_WORDS * row + ENTRY_COMPOSITION] = 0
    m.entries_h[2 * ENTRY_WORDS * row + ENTRY_NEXT] = np.int32(m.counters[FREE_ENTRY])
    m.counters[FREE_ENTRY] = row
    if not was_lowest:
        return
    note_moved(m, composition)
    heir = np.int64(m.pool_h[2 * composition + LOWEST])
    raised = heir == 0 or energy_of(m, heir) > m.pool_f[composition + ENERGY]
    if m.pool_h[2 * composition + FLAGS] & VERTEX:
        note_event(m, np.int64(DETHRONED), row, np.int64(0))
        if heir != 0 and (d == 1 or not raised):
            note_event(m, np.int64(RESTORED), heir, np.int64(0))
        else:
            m.pool_h[2 * composition + FLAGS] &= ~VERTEX  # whether the heir is one is judged below
    if raised:
        _raised(m, composition, heir, key, d)


@inner
def _raised(m: Any, composition: Any, heir: Any, key: Any, d: Any) -> None:
    """The lowest entry of a composition is gone; the next one is higher, or there is none."""
    leaning = _leaning_on(m, composition, key, d)
    m.pool_f[composition + ENERGY] = energy_of(m, heir) if heir != 0 else np.inf
    if d == 1:
        m.references[key] = m.pool_f[composition + ENERGY]
        if heir != 0:
            shift_costs(m, key)
    elif heir != 0 and m.pool_f[composition + HULL] == m.pool_f[composition + HULL]:
        judge(m, composition, np.int64(RESTORED), np.int64(0))
    if heir == 0:
        m.counters[N_COMPOSITIONS] -= 1
        if d == 1:
            m.pool_h[2 * composition + FLAGS] &= ~(NEAR | VERTEX)
            _undefine_above(m, key)
            return
        set_flags(m, composition, False, False)
        undefine(m, composition, d)
    solve_together(m, leaning, np.int64(RESTORED), np.int64(0))


@inner
def _leaning_on(m: Any, composition: Any, key: Any, d: Any) -> Any:
    """Write the compositions whose plane of potentials this one touches into `some`; says how many.

    Where it is not near the hull, only what is near the hull in its own system was ever solved against it.
    """
    near = m.pool_h[2 * composition + FLAGS] & NEAR != 0
    count = np.int64(0)
    if d > 1:
        count = _leaning_in(m, composition, np.int64(m.pool_h[2 * composition + SYSTEM]), key, d, near, count)
    if near:
        for i in range(systems_above(m, key)):
            count = _leaning_in(m, composition, np.int64(m.above[i]), key, d, near, count)
    return count


@inner
def _leaning_in(m: Any, composition: Any, system: Any, key: Any, d: Any, near: Any, count: Any) -> Any:
    large = m.pool[system + KEY]
    lean_over(m, composition, key, d, large)
    energy = m.pool_f[composition + ENERGY]
    other = np.int64(m.pool_h[2 * system + FIRST])
    while other != 0:
        concerned = near or m.pool_h[2 * other + FLAGS] & NEAR != 0
        if concerned and other != composition and undercut(m, other, energy, d) < NEAR_MARGIN:
            m.some[count] = other
            count += 1
        other = np.int64(m.pool_h[2 * other + NEXT])
    return count


@inner
def _undefine_above(m: Any, key: Any) -> None:
    """The last reference of an element is gone."""
    for i in range(systems_above(m, key)):
        system = np.int64(m.above[i])
        d = size_of(m.pool[system + KEY])
        composition = np.int64(m.pool_h[2 * system + FIRST])
        while composition != 0:
            if m.pool_f[composition + ENERGY] < np.inf and m.pool_f[composition + HULL] == m.pool_f[composition + HULL]:
                if m.pool_h[2 * composition + FLAGS] & VERTEX:
                    note_event(m, np.int64(DETHRONED), np.int64(m.pool_h[2 * composition + LOWEST]), np.int64(0))
                set_flags(m, composition, False, False)
                undefine(m, composition, d)
                note_moved(m, composition)
            composition = np.int64(m.pool_h[2 * composition + NEXT])
