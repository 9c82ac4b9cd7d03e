"""One composition: finding and making it, its programme, its entries, and what is said when it changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from hull.columns import add_column, fractions_into, remove_column, set_cost
from hull.compiled import inner
from hull.hashing import EMPTY, has_tag, hash_of, hash_of_id, item_of, put
from hull.memory import (
    AMOUNTS,
    COMPOSITION_MASK,
    COMPOSITION_WORDS,
    ENERGY,
    ENTRY_COMPOSITION,
    ENTRY_ENERGY,
    ENTRY_ID,
    ENTRY_MASK,
    ENTRY_WORDS,
    EVENT,
    FIRST,
    FLAGS,
    HULL,
    KEY,
    LARGEST_SYSTEM,
    LOWEST,
    MEMBERS,
    MOVED,
    N_EVENTS,
    N_MOVED,
    N_RECORDS,
    N_STALLED,
    NEAR,
    NEXT,
    OTHERS,
    POOL_USED,
    POTENTIALS,
    SYSTEM,
    VERTEX,
)
from hull.simplex import LP_TOLERANCE, OPTIMAL, optimise
from hull.systems import add_system, element_at, find_system

RESOLVE_TOLERANCE = 1e-12  # eV/atom: a smaller reduced cost is rounding; far below LP_TOLERANCE, so no tie turns on it
NEAR_MARGIN = 1e-9  # eV/atom above the hull within which a composition stays a column of its neighbours' programmes

STABLE, DETHRONED, RESTORED = 0, 1, 2  # kinds of events


@inner
def find_composition(m: Any, key: Any, amounts: Any) -> Any:
    """The composition, or 0."""
    hashed, mask = hash_of(key, amounts), m.counters[COMPOSITION_MASK]
    place = hashed & mask
    while m.composition_table[place] != EMPTY:
        slot = m.composition_table[place]
        if has_tag(slot, hashed):
            found = item_of(slot)
            if m.pool[found + AMOUNTS] == amounts and m.pool[system_of(m, found) + KEY] == key:
                return found
        place = (place + 1) & mask
    return np.int64(0)


@inner
def find_entry(m: Any, entry_id: Any) -> Any:
    """The row of an entry, or 0."""
    hashed, mask = hash_of_id(entry_id), m.counters[ENTRY_MASK]
    place = hashed & mask
    while m.entry_table[place] != EMPTY:
        slot = m.entry_table[place]
        if has_tag(slot, hashed):
            row = item_of(slot)
            if m.entries[row * ENTRY_WORDS + ENTRY_ID] == entry_id and composition_of(m, row) != 0:
                return row
        place = (place + 1) & mask
    return np.int64(0)


@inner
def system_of(m: Any, composition: Any) -> Any:
    return np.int64(m.pool_h[2 * composition + SYSTEM])


@inner
def composition_of(m: Any, row: Any) -> Any:
    """Of an entry; 0 of a row that is free."""
    return np.int64(m.entries_h[2 * ENTRY_WORDS * row + ENTRY_COMPOSITION])


@inner
def energy_of(m: Any, row: Any) -> Any:
    """Of an entry, eV/atom."""
    return m.entries_f[row * ENTRY_WORDS + ENTRY_ENERGY]


@inner
def is_lower(m: Any, row: Any, other: Any) -> Any:
    """Whether an entry comes before another of its composition."""
    one, two = energy_of(m, row), energy_of(m, other)
    return one < two or (
        one == two and m.entries[row * ENTRY_WORDS + ENTRY_ID] < m.entries[other * ENTRY_WORDS + ENTRY_ID]
    )


@inner
def add_composition(m: Any, key: Any, amounts: Any, d: Any) -> Any:
    """A new composition without entries. Room must be there."""
    system = find_system(m, key)
    if system == 0:
        system = add_system(m, key)
    new = m.counters[POOL_USED]
    m.counters[POOL_USED] += COMPOSITION_WORDS + d
    m.counters[N_RECORDS] += 1
    m.pool_f[new + ENERGY] = np.inf
    m.pool[new + AMOUNTS] = amounts
    m.pool_h[2 * new + SYSTEM] = system
    m.pool_h[2 * new + NEXT] = m.pool_h[2 * system + FIRST]
    for half in (LOWEST, OTHERS, FLAGS):
        m.pool_h[2 * new + half] = 0
    undefine(m, new, d)
    m.pool_h[2 * system + FIRST] = new
    m.pool_h[2 * system + MEMBERS] += 1
    m.counters[LARGEST_SYSTEM] = max(m.counters[LARGEST_SYSTEM], np.int64(m.pool_h[2 * system + MEMBERS]))
    put(m.composition_table, m.counters[COMPOSITION_MASK], hash_of(key, amounts), new)
    return new


@inner
def is_defined(m: Any, key: Any) -> Any:
    """Whether every element of a key has a reference."""
    while key != 0:
        if m.references[key & 127] == np.inf:
            return False
        key >>= 7
    return True


@inner
def undefine(m: Any, composition: Any, d: Any) -> None:
    """No H and no µ."""
    m.pool_f[composition + HULL] = np.nan
    for i in range(d):
        m.pool_f[composition + POTENTIALS + i] = np.nan


@inner
def note_moved(m: Any, composition: Any) -> None:
    """Its point is another than before."""
    if m.pool_h[2 * composition + FLAGS] & MOVED == 0:
        m.pool_h[2 * composition + FLAGS] |= MOVED
        m.moved[m.counters[N_MOVED]] = composition
        m.counters[N_MOVED] += 1


@inner
def note_event(m: Any, kind: Any, row: Any, step: Any) -> None:
    at = m.counters[N_EVENTS] * EVENT
    m.counters[N_EVENTS] += 1
    m.events[at] = kind
    m.events[at + 1] = row
    m.events[at + 2] = step


@inner
def solve(m: Any, composition: Any, key: Any, d: Any, count: Any) -> None:
    """H and µ of a composition from gathered columns."""
    fractions_into(m, m.pool[composition + AMOUNTS], d, m.target, np.int64(0))
    if optimise(m, count, d, RESOLVE_TOLERANCE) != OPTIMAL:
        m.counters[N_STALLED] += 1
    hull = 0.0
    for i in range(d):
        potential = m.duals[i] + m.references[element_at(key, i)]
        m.pool_f[composition + POTENTIALS + i] = potential
        hull += potential * m.target[i]
    if hull != m.pool_f[composition + HULL]:
        m.pool_f[composition + HULL] = hull
        note_moved(m, composition)


@inner
def set_flags(m: Any, composition: Any, near: Any, vertex: Any) -> None:
    """Near and vertex, and with it the composition's column."""
    flags = m.pool_h[2 * composition + FLAGS]
    if near and flags & NEAR:
        set_cost(m, composition)
    elif near:
        add_column(m, composition)
    elif flags & NEAR:
        remove_column(m, composition)
    if vertex != (flags & VERTEX != 0):
        note_moved(m, composition)
        flags = m.pool_h[2 * composition + FLAGS]
    m.pool_h[2 * composition + FLAGS] = flags & ~(NEAR | VERTEX) | (NEAR if near else 0) | (VERTEX if vertex else 0)


@inner
def judge(m: Any, composition: Any, kind: Any, step: Any) -> None:
    """Set what follows from H and E, and say if the composition's lowest entry came or left. Not for elements."""
    depth = m.pool_f[composition + HULL] - m.pool_f[composition + ENERGY]
    was = m.pool_h[2 * composition + FLAGS] & VERTEX != 0
    vertex = depth > LP_TOLERANCE
    set_flags(m, composition, depth > -NEAR_MARGIN, vertex)
    lowest = np.int64(m.pool_h[2 * composition + LOWEST])
    if vertex and not was:
        note_event(m, kind, lowest, step)
    elif was and not vertex:
        note_event(m, np.int64(DETHRONED), lowest, step)


@inner
def lean_over(m: Any, composition: Any, key: Any, d: Any, large: Any) -> None:
    """Make ready to price a composition in the programmes of a system above (or its own)."""
    fractions_into(m, m.pool[composition + AMOUNTS], d, m.other, np.int64(0))
    place = np.int64(0)
    for i in range(d):
        while element_at(large, place) != element_at(key, i):
            place += 1
        m.places[i] = place


@inner
def undercut(m: Any, other: Any, energy: Any, d: Any) -> Any:
    """Reduced cost of the phase at hand in the programme of a composition, eV/atom; nan where that is undefined."""
    reduced = energy
    for i in range(d):
        reduced -= m.pool_f[other + POTENTIALS + m.places[i]] * m.other[i]
    return reduced
