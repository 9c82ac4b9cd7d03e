"""The phase diagram of one chemical system as a picture needs it: its vertices and the simplices between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from hull.entries import MAX_ELEMENTS, BadComposition, Formula, TooManyElements
from hull.store import HullStore

Floats = NDArray[np.float64]

_UPRIGHT = 1e-9  # of a normal's length: a facet that leans no further than this is a wall


@dataclass(frozen=True, slots=True)
class Vertex:
    formula: Formula
    entry_id: int
    energy_per_atom: float  # eV/atom
    formation_energy_per_atom: float  # eV/atom, against the elements' lowest phases; 0 for an element


@dataclass(frozen=True, slots=True)
class Diagram:
    """The hull of a chemical system with all its subsystems."""

    elements: tuple[str, ...]  # alphabetical: the order of `fractions`
    vertices: tuple[Vertex, ...]  # by formula
    fractions: Floats  # (n, d): of the atoms
    simplices: tuple[tuple[int, ...], ...]  # d vertices each, by their places; they cover every composition once


class MissingReference(ValueError):
    """An element of the system has no reference: there is no hull to show."""


def diagram_of(store: HullStore, elements: Iterable[str]) -> Diagram:
    """The phase diagram of a chemical system of one to nine elements.

    Where more than d vertices lie on one plane (ties), the facet is cut into simplices in one of the possible ways.
    Raises UnknownElement, BadComposition, TooManyElements or MissingReference.
    """
    symbols = tuple(sorted(set(elements)))
    if not symbols:
        raise BadComposition("a phase diagram needs at least one element")
    if len(symbols) > MAX_ELEMENTS:
        raise TooManyElements(f"{len(symbols)} elements, at most {MAX_ELEMENTS} are possible")
    points = sorted(store.stable_points(symbols), key=lambda point: point.formula.amounts)
    references = {point.formula.elements[0]: point.lowest_energy for point in points if point.formula.is_element}
    missing = sorted(set(symbols) - set(references))
    if missing:
        raise MissingReference(f"no reference for {', '.join(missing)}")
    fractions = np.array([[point.formula.fractions.get(one, 0.0) for one in symbols] for point in points])
    formation = np.array([point.lowest_energy for point in points]) - fractions @ [references[one] for one in symbols]
    vertices = tuple(
        Vertex(
            point.formula, point.lowest_entry, point.lowest_energy, 0.0 if point.formula.is_element else float(depth)
        )
        for point, depth in zip(points, formation, strict=True)
    )
    return Diagram(symbols, vertices, fractions, _simplices(fractions, formation))


def _simplices(fractions: Floats, formation: Floats) -> tuple[tuple[int, ...], ...]:
    """The lower facets of the hull of these points, shape (n, d) and (n,). Its only upper one joins the elements."""
    count, elements = fractions.shape
    if elements == 1:
        return ((0,),)
    if count == elements:
        return (tuple(range(count)),)
    if elements == 2:
        order = np.argsort(fractions[:, 0]).tolist()
        return tuple(sorted(tuple(sorted(pair)) for pair in pairwise(order)))
    depths = formation / -formation.min()  # the deepest at -1: however shallow it is, the facets are well apart
    hull = ConvexHull(np.column_stack([fractions[:, 1:], depths]), qhull_options="Qt Pp")
    lower = hull.equations[:, -2] < -_UPRIGHT
    return tuple(sorted(tuple(sorted(simplex)) for simplex in hull.simplices[lower].tolist()))
