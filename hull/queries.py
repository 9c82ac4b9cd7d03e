"""Questions to the store: where things lie and what is on the hull. Nothing is changed but scratch."""

from __future__ import annotations

from typing import Any

import numpy as np

from hull.columns import column_count, fractions_into, gather
from hull.compiled import inner, kernel
from hull.compositions import (
    RESOLVE_TOLERANCE,
    composition_of,
    energy_of,
    find_composition,
    find_entry,
    is_defined,
    system_of,
)
from hull.memory import (
    AMOUNTS,
    BLOCK,
    BLOCK_WORDS,
    ENERGY,
    ENTRY_ID,
    ENTRY_NEXT,
    ENTRY_WORDS,
    FIRST,
    FLAGS,
    HULL,
    KEY,
    LAST_SYSTEM,
    LOWEST,
    N_STALLED,
    NEAR,
    NEXT,
    NEXT_SYSTEM,
    OTHERS,
    VERTEX,
    tables,
)
from hull.simplex import OPTIMAL, optimise
from hull.systems import element_at, find_system, size_of

LOWEST_THERE, HULL_THERE, MET = 0, 1, 2  # what `locate` writes first: eV/atom; then µ, then fractions


@kernel
def locate(address: Any, row: Any, key: Any, amounts: Any, numbers: Any, owners: Any) -> Any:
    """The programme at a composition, whether it is in the store or not. Returns the composition, or 0.

    row: 0, or that of a stored entry of this composition. numbers, (3 + 9 + 9): lowest energy there (inf for none),
    H (nan for an element or undefined), lowest energy of other entries there; µ; fractions of the mixture. owners,
    (9): the compositions of the mixture.
    """
    m = tables(address)
    composition = find_composition(m, key, amounts)
    _locate(m, composition, key, amounts, numbers, owners)
    if row != 0:
        numbers[MET] = _lowest_but(m, composition, row)
    return composition


@inner
def _lowest_but(m: Any, composition: Any, row: Any) -> Any:
    """The lowest energy of a composition without one of its entries; inf where it has no other."""
    other = np.int64(m.pool_h[2 * composition + LOWEST])
    if other != row:
        return energy_of(m, other)
    lowest = np.inf
    other = np.int64(m.pool_h[2 * composition + OTHERS])
    while other != 0:
        lowest = min(lowest, energy_of(m, other))
        other = np.int64(m.entries_h[2 * ENTRY_WORDS * other + ENTRY_NEXT])
    return lowest


@inner
def _locate(m: Any, composition: Any, key: Any, amounts: Any, numbers: Any, owners: Any) -> None:
    d = size_of(key)
    lowest = m.pool_f[composition + ENERGY] if composition != 0 else np.inf
    numbers[LOWEST_THERE], numbers[HULL_THERE], numbers[MET] = lowest, np.nan, lowest
    if d == 1 or not is_defined(m, key):
        return
    alone = np.int64(0)
    if composition != 0 and m.pool_h[2 * composition + FLAGS] & NEAR:
        alone = composition
    numbers[HULL_THERE] = _solve(m, key, amounts, d, find_system(m, key), alone)
    for i in range(d):
        numbers[3 + i] = m.duals[i] + m.references[element_at(key, i)]
        numbers[12 + i] = m.fractions[i]
        owners[i] = m.owners[m.basis[i]]
    if lowest < np.inf:
        numbers[HULL_THERE] = m.pool_f[composition + HULL]  # the same programme; to the last bit as in its point


@inner
def _solve(m: Any, key: Any, amounts: Any, d: Any, system: Any, alone: Any) -> Any:
    """H, eV/atom."""
    count = gather(m, key, d, system, alone)
    fractions_into(m, amounts, d, m.target, np.int64(0))
    if optimise(m, count, d, RESOLVE_TOLERANCE) != OPTIMAL:
        m.counters[N_STALLED] += 1
    hull = 0.0
    for i in range(d):
        hull += (m.duals[i] + m.references[element_at(key, i)]) * m.target[i]
    return hull


@kernel
def positions(
    address: Any,
    ids: Any,
    tolerance: Any,
    distances: Any,
    n_parts: Any,
    part_ids: Any,
    fractions: Any,
    numbers: Any,
    owners: Any,
) -> Any:
    """Where stored entries sit. distances, (2, n): e_above_hull, decomposition energy; nan for undefined. The parts of
    their mixtures one after the other. Returns the number of the first unknown, or -1.

    numbers, owners: scratch, as `locate` has them. tolerance: fraction below which a phase is no part.
    """
    m = tables(address)
    start = np.int64(0)
    for number in range(ids.size):
        row = find_entry(m, ids[number])
        if row == 0:
            return number
        composition = composition_of(m, row)
        key = m.pool[system_of(m, composition) + KEY]
        _locate(m, composition, key, m.pool[composition + AMOUNTS], numbers, owners)
        hull = numbers[HULL_THERE]
        distances[0, number] = e_above_hull(m, row)
        distances[1, number] = energy_of(m, row) - hull
        end = start
        if size_of(key) == 1 or (hull == hull and m.pool_h[2 * composition + FLAGS] & VERTEX):
            part_ids[start], fractions[start] = _lowest_id(m, composition), 1.0
            end += 1
        elif hull == hull:
            for i in range(size_of(key)):
                if numbers[12 + i] > tolerance:
                    _put_part(part_ids, fractions, start, end, _lowest_id(m, owners[i]), numbers[12 + i])
                    end += 1
        n_parts[number] = end - start
        start = end
    return -1


@inner
def _lowest_id(m: Any, composition: Any) -> Any:
    """Of the lowest entry of a composition."""
    return m.entries[ENTRY_WORDS * np.int64(m.pool_h[2 * composition + LOWEST]) + ENTRY_ID]


@inner
def _put_part(part_ids: Any, fractions: Any, start: Any, end: Any, entry_id: Any, fraction: Any) -> None:
    """Among the parts from start to end, which ascend by entry id."""
    i = end
    while i > start and part_ids[i - 1] > entry_id:
        part_ids[i], fractions[i] = part_ids[i - 1], fractions[i - 1]
        i -= 1
    part_ids[i], fractions[i] = entry_id, fraction


@kernel
def measure(address: Any, keys: Any, amounts: Any, energies: Any, distances: Any) -> None:
    """Where entries would sit. distances, (n, 3): e_above_hull, on arrival, decomposition energy; nan for undefined."""
    m = tables(address)
    for number in range(keys.size):
        key = keys[number]
        d = size_of(key)
        composition = find_composition(m, key, amounts[number])
        lowest, hull = np.inf, np.nan
        if composition != 0:
            lowest, hull = m.pool_f[composition + ENERGY], m.pool_f[composition + HULL]
        if lowest == np.inf and d > 1 and is_defined(m, key):
            hull = _solve(m, key, amounts[number], d, find_system(m, key), np.int64(0))
        met = lowest if d == 1 else min(lowest, hull)
        if met == np.inf or (d > 1 and hull != hull):
            met = np.nan
        distances[number, 0] = max(energies[number] - met, 0.0) if met == met else np.nan
        distances[number, 1] = energies[number] - met
        distances[number, 2] = energies[number] - hull


@kernel
def look_up(address: Any, ids: Any, distances: Any) -> Any:
    """e_above_hull of stored entries, eV/atom; nan for undefined. Returns the number of the first unknown, or -1."""
    m = tables(address)
    for number in range(ids.size):
        row = find_entry(m, ids[number])
        if row == 0:
            return number
        distances[number] = e_above_hull(m, row)
    return -1


@kernel
def look_up_row(address: Any, row: Any, distance: Any) -> None:
    """e_above_hull of one stored entry, eV/atom; nan for undefined."""
    distance[0] = e_above_hull(tables(address), row)


@inner
def e_above_hull(m: Any, row: Any) -> Any:
    composition = composition_of(m, row)
    lowest, hull = m.pool_f[composition + ENERGY], m.pool_f[composition + HULL]
    if hull == hull:
        return max(energy_of(m, row) - min(lowest, hull), 0.0)
    if m.pool[system_of(m, composition) + KEY] < 128:
        return energy_of(m, row) - lowest
    return np.nan


@kernel
def row_of(address: Any, entry_id: Any) -> Any:
    """Of a stored entry, or 0."""
    return find_entry(tables(address), entry_id)


@kernel
def first_stored(address: Any, ids: Any) -> Any:
    """The number of the first id that is in the store, or -1."""
    m = tables(address)
    for number in range(ids.size):
        if find_entry(m, ids[number]) != 0:
            return number
    return -1


@kernel
def composition_at(address: Any, key: Any, amounts: Any) -> Any:
    """The composition, or 0 where there is none with entries."""
    m = tables(address)
    composition = find_composition(m, key, amounts)
    if composition != 0 and m.pool_f[composition + ENERGY] < np.inf:
        return composition
    return np.int64(0)


@kernel
def compositions_of(address: Any, found: Any) -> Any:
    """Write all compositions that have entries; says how many."""
    m = tables(address)
    count = np.int64(0)
    system = m.counters[LAST_SYSTEM]
    while system != 0:
        composition = np.int64(m.pool_h[2 * system + FIRST])
        while composition != 0:
            if m.pool_f[composition + ENERGY] < np.inf:
                found[count] = composition
                count += 1
            composition = np.int64(m.pool_h[2 * composition + NEXT])
        system = np.int64(m.pool_h[2 * system + NEXT_SYSTEM])
    return count


@kernel
def vertices(address: Any, allowed: Any, found: Any) -> Any:
    """Write the vertices all of whose elements are allowed, (128,); says how many."""
    m = tables(address)
    count = np.int64(0)
    system = m.counters[LAST_SYSTEM]
    while system != 0:
        key = m.pool[system + KEY]
        if _is_allowed(key, allowed):
            count = _vertices_of(m, system, size_of(key), found, count)
        system = np.int64(m.pool_h[2 * system + NEXT_SYSTEM])
    return count


@inner
def _is_allowed(key: Any, allowed: Any) -> Any:
    while key != 0:
        if allowed[key & 127] == 0:
            return False
        key >>= 7
    return True


@inner
def _vertices_of(m: Any, system: Any, d: Any, found: Any, count: Any) -> Any:
    if d == 1:
        composition = np.int64(m.pool_h[2 * system + FIRST])
        if m.pool_h[2 * composition + FLAGS] & VERTEX:
            found[count] = composition
            count += 1
        return count
    block = np.int64(m.pool_h[2 * system + BLOCK])
    for i in range(column_count(m, block)):
        composition = m.columns_i[block + BLOCK_WORDS + (i + 1) * (d + 2) - 1]
        if m.pool_h[2 * composition + FLAGS] & VERTEX:
            found[count] = composition
            count += 1
    return count
