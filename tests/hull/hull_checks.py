"""What must hold between two stores, between a store before and after a change, and inside one store at any time."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from hull.entries import Formula
from hull.positions import Event, EventKind, HullPoint
from hull.store import LP_TOLERANCE, HullStore

NOISE_EV_PER_ATOM = 1e-10
ROUNDING_EV_PER_ATOM = 1e-12  # a point that moved by less may be called moved or not
DOUBTFUL_EV_PER_ATOM = 3e-12  # a depth this close to LP_TOLERANCE may be called a vertex or not

Points = dict[Formula, HullPoint]


def points_of(store: HullStore) -> Points:
    return {point.formula: point for point in store.points()}


def close(number: float | None, tolerance: float = NOISE_EV_PER_ATOM) -> object:
    return None if number is None else pytest.approx(number, rel=0, abs=tolerance)


def doubtful(point: HullPoint) -> bool:
    depth = None if point.hull_energy is None else point.hull_energy - point.lowest_energy
    return depth is not None and abs(depth - LP_TOLERANCE) < DOUBTFUL_EV_PER_ATOM


def assert_same_store(store: HullStore, other: HullStore) -> None:
    """The same answers to every question, up to rounding."""
    assert len(store) == len(other)
    points, twins = points_of(store), points_of(other)
    assert points.keys() == twins.keys()
    for formula, point in points.items():
        twin = twins[formula]
        assert (point.lowest_entry, point.lowest_energy) == (twin.lowest_entry, twin.lowest_energy)
        assert point.hull_energy == close(twin.hull_energy)
        assert point.is_vertex == twin.is_vertex or doubtful(point)
    unsure = {point.lowest_entry for point in points.values() if doubtful(point)}
    assert set(store.stable_entries()) - unsure == set(other.stable_entries()) - unsure


def assert_events_are_the_difference(
    events: Iterable[Event], before: Iterable[int], after: Iterable[int], came: EventKind
) -> None:
    """Each event once, those that came first, each by entry id."""
    expected = [(came, number) for number in sorted(set(after) - set(before))]
    expected += [(EventKind.DETHRONED, number) for number in sorted(set(before) - set(after))]
    assert [(event.kind, event.entry_id) for event in events] == expected


def assert_moved_is_what_changed(moved: tuple[Formula, ...], before: Points, after: Points) -> None:
    assert list(moved) == sorted(set(moved))
    changed = {formula for formula in before.keys() | after.keys() if before.get(formula) != after.get(formula)}
    assert set(moved) <= changed
    assert {formula for formula in changed if _by_more_than_rounding(before.get(formula), after.get(formula))} <= set(
        moved
    )


def assert_planes_support_the_hull(store: HullStore) -> None:
    """At every composition Σ x µ = H, and no other composition lies below the plane of µ."""
    points = list(store.points())
    for point in points:
        if point.hull_energy is None:
            continue
        potentials = dict(store.position(point.formula, 0.0).chemical_potentials)
        assert _on_plane(potentials, point.formula) == close(point.hull_energy)
        for other in points:
            if other.formula != point.formula and set(other.formula.elements) <= set(potentials):
                assert other.lowest_energy >= _on_plane(potentials, other.formula) - NOISE_EV_PER_ATOM


def assert_points_agree_with_entries(store: HullStore) -> None:
    """Points, stable entries and look-ups say the same thing."""
    points = points_of(store)
    assert store.stable_entries() == sorted(point.lowest_entry for point in points.values() if point.is_vertex)
    for formula, point in points.items():
        assert store.point(formula) == point
        assert point.lowest_entry in store
        if formula.is_element:
            assert point.is_vertex
            assert point.hull_energy is None
        elif point.hull_energy is None:
            assert not point.is_vertex
            assert store.e_above_hull(point.lowest_entry) is None
        else:
            above = max(0.0, point.lowest_energy - point.hull_energy)
            assert store.e_above_hull(point.lowest_entry) == close(above)
            assert point.is_vertex == (point.lowest_energy < point.hull_energy - LP_TOLERANCE)


def _on_plane(potentials: dict[str, float], formula: Formula) -> float:
    return sum(part * potentials[symbol] for symbol, part in formula.fractions.items())


def _by_more_than_rounding(before: HullPoint | None, after: HullPoint | None) -> bool:
    if before is None or after is None or (before.hull_energy is None) != (after.hull_energy is None):
        return True
    same = ("lowest_energy", "lowest_entry", "is_vertex")
    if any(getattr(before, name) != getattr(after, name) for name in same):
        return True
    return before.hull_energy is not None and abs(before.hull_energy - after.hull_energy) > ROUNDING_EV_PER_ATOM
