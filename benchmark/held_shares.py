"""How often each threshold of the rules' `held` row raises a false alarm on crystals that are real: the figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.anions import ANIONS, CLASSES, class_of
from benchmark.held_arrivals import Arrived
from benchmark.scale_shift import by_anion, by_element, fitted, left_over
from hull.entries import SYMBOLS, Formula
from validation.corrections import MP2020, correction_per_atom

Figures = dict[str, float]
Energies = NDArray[np.float64]

BELOW_REFERENCE = (0.005, 0.01, 0.02, 0.05, 0.1)  # eV/atom
FORMATION = (-3.0, -4.0, -4.5, -5.0)
ON_ARRIVAL = (-0.2, -0.3, -0.4, -0.5, -0.6, -0.8)
APART = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
WAYS = {
    "plain": "as they are",
    "corrected": "less MP2020's correction of the anion",
    "fitted": "less MP2020's correction and a shift by the elements, fitted without the formula",
}

_IN_A_CLASS = {
    "crystals": "crystals that judge and auditor both take",
    **{f"median_ev_per_atom_{way}": f"eV/atom: median of judge - auditor, {text}" for way, text in WAYS.items()},
    **{f"median_abs_ev_per_atom_{way}": f"eV/atom: median of |judge - auditor|, {text}" for way, text in WAYS.items()},
    **{
        f"share_apart_{limit:.2f}_{way}": f"share where judge and auditor differ by more than {limit:g} eV/atom, {text}"
        for way, text in WAYS.items()
        for limit in APART
    },
    **{
        f"share_lower_{limit:.2f}_{way}": f"share where the judge is lower by more than {limit:g} eV/atom, {text}"
        for way, text in WAYS.items()
        for limit in APART
    },
}
_OF_ONE = {
    "elements": "elemental crystals",
    "lowest_element_ev_per_atom": "eV/atom of the lowest elemental crystal against the reference",
    **{
        f"share_elements_below_{limit:g}": f"share of them more than {limit:g} eV/atom below it"
        for limit in BELOW_REFERENCE
    },
    "lowest_formation_ev_per_atom": "eV/atom: the lowest formation energy",
    **{
        f"share_formation_below_{limit:g}": f"share of formation energies below {limit:g} eV/atom"
        for limit in FORMATION
    },
}
_ON_ARRIVAL = {
    "placed": "crystals that arrive and are placed, duplicates included",
    "lowest_on_arrival_ev_per_atom": "eV/atom by which the hull is lowered at most, with its sign",
    **{f"share_on_arrival_below_{limit:g}": f"share of arrivals below {limit:g} eV/atom" for limit in ON_ARRIVAL},
}
MEANINGS = {
    **{f"{name}_{who}": f"{text}, by the {who}" for who in ("judge", "auditor") for name, text in _OF_ONE.items()},
    **{
        f"{name}{which}": f"{text}{said}"
        for which, said in (("", ""), ("_among_compounds", ", where the hull is of compounds alone"))
        for name, text in _ON_ARRIVAL.items()
    },
    **{f"{name}_{group}": f"{text}; {group}" for group in ("all", *CLASSES) for name, text in _IN_A_CLASS.items()},
    **{f"shift_ev_by_anion_{symbol}": f"eV an atom of the anion {symbol}, judge over auditor" for symbol in ANIONS},
    **{f"shift_ev_by_element_{symbol}": f"eV an atom of {symbol}, the same beyond MP2020's" for symbol in SYMBOLS},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """A real crystal: its formation energies in eV/atom, each on its own scale; None where there is no verdict."""

    formula: Formula
    judge: float | None
    auditor: float | None


def of_one(finds: Iterable[tuple[Formula, float | None]], who: str) -> Figures:
    """Thresholds of one scale, for `judge` or `auditor`; a figure of none is left out."""
    known = [(formula, energy) for formula, energy in finds if energy is not None]
    elements = np.array([energy for formula, energy in known if formula.is_element])
    energies = np.array([energy for _, energy in known])
    figures = {
        "elements": len(elements),
        **_lowest("lowest_element_ev_per_atom", elements),
        **_shares_below("share_elements_below", elements, {limit: -limit for limit in BELOW_REFERENCE}),
        **_lowest("lowest_formation_ev_per_atom", energies),
        **_shares_below("share_formation_below", energies, {limit: limit for limit in FORMATION}),
    }
    return {f"{name}_{who}": value for name, value in figures.items()}


def of_arrivals(arrived: Sequence[Arrived]) -> Figures:
    """Of all that were placed, and of those among compounds."""
    figures: Figures = {}
    for which, some in (("", arrived), ("_among_compounds", [one for one in arrived if one.among_compounds])):
        energies = np.array([one.distance for one in some])
        found = {
            "placed": len(energies),
            **_lowest("lowest_on_arrival_ev_per_atom", energies),
            **_shares_below("share_on_arrival_below", energies, {limit: limit for limit in ON_ARRIVAL}),
        }
        figures |= {f"{name}{which}": value for name, value in found.items()}
    return figures


def of_both(finds: Sequence[Find]) -> Figures:
    """How far judge and auditor are apart, as they are and less what the scales differ by, in all and by class.

    Also the shifts: those by the anion alone are beside MP2020's, those by the elements beyond it.
    """
    formulas, plain = _differences(finds)
    if not formulas:
        return {}
    corrected = plain - [correction_per_atom(formula, MP2020) for formula in formulas]
    ways = dict(zip(WAYS, (plain, corrected, left_over(formulas, corrected, by_element)), strict=True))
    classes = np.array([class_of(formula) for formula in formulas])
    groups = {"all": classes == classes, **{name: classes == name for name in CLASSES}}
    return {
        **{
            f"{name}_{group}": value
            for group, members in groups.items()
            if members.any()
            for name, value in _in_a_class({way: apart[members] for way, apart in ways.items()})
        },
        **_named("shift_ev_by_anion", fitted(formulas, plain, by_anion)),
        **_named("shift_ev_by_element", fitted(formulas, corrected, by_element)),
    }


def _differences(finds: Iterable[Find]) -> tuple[list[Formula], Energies]:
    """Formulas of those that both took, and judge - auditor, eV/atom."""
    pairs = [
        (find.formula, find.judge - find.auditor)
        for find in finds
        if find.judge is not None and find.auditor is not None
    ]
    return [formula for formula, _ in pairs], np.array([difference for _, difference in pairs])


def _named(name: str, shifts: Mapping[str, float]) -> Figures:
    return {f"{name}_{symbol}": shift for symbol, shift in shifts.items()}


def _in_a_class(ways: Mapping[str, Energies]) -> Iterator[tuple[str, float]]:
    yield "crystals", len(ways["plain"])
    for way, apart in ways.items():
        yield f"median_ev_per_atom_{way}", float(np.median(apart))
        yield f"median_abs_ev_per_atom_{way}", float(np.median(np.abs(apart)))
        for limit in APART:
            yield f"share_apart_{limit:.2f}_{way}", float(np.mean(np.abs(apart) > limit))
        for limit in APART:
            yield f"share_lower_{limit:.2f}_{way}", float(np.mean(apart < -limit))


def _lowest(name: str, energies: Energies) -> Figures:
    return {name: float(energies.min())} if len(energies) else {}


def _shares_below(name: str, energies: Energies, limits: Mapping[float, float]) -> Figures:
    """limits: eV/atom by what the figure calls them."""
    if not len(energies):
        return {}
    return {f"{name}_{called:g}": float(np.mean(energies < limit)) for called, limit in limits.items()}
