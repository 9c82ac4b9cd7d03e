"""Crystals for whole seasons on the Morse potential: ordered close-packed compounds, and elements to judge them by."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from hull.entries import ATOMIC_NUMBER
from hull.reference import Coverage, Release
from validation.crystal import Crystal
from validation.element_data import ATOMIC_VOLUME_ANG3, covalent_radii
from validation.flight import relax_alone
from validation.judges.judge import Judge
from validation.judges.morse import minimum_ang
from validation.references import reference_phase
from validation.rules import RelaxationSettings
from validation.scales import scale_digest, scale_of

TWICE_EVERY = 40  # one that came before, again
BROKEN_EVERY = 47  # no CIF at all
_SANE_VOLUME = (0.6, 1.8)  # of a close-packed crystal of the potential, over the tabulated one: the checks let it pass
_FCC = ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_BCC = ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5))
_KINDS = (((0, 1, 1, 1), _FCC), ((0, 0, 1, 1), _FCC), ((0, 0, 1, 2), _FCC), ((0, 1), _BCC))  # L1₂, L1₀, A₂BC, B2
_STRAIN, _SHAKE = 0.03, 0.01
_CIF = """data_{name}
_cell_length_a {a:.5f}
_cell_length_b {b:.5f}
_cell_length_c {c:.5f}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
"""


def usual_elements() -> tuple[str, ...]:
    """Symbols of those whose volume the potential has about right, metals most of them."""
    low, high = _SANE_VOLUME
    return tuple(
        symbol
        for symbol, volume in sorted(ATOMIC_VOLUME_ANG3.items())
        if ATOMIC_NUMBER[symbol] < 93 and low <= _size_ang(symbol) ** 3 / 2**0.5 / volume <= high
    )


def elements_release(judge: Judge, elements: Sequence[str]) -> Release:
    """Their face-centred cubic crystals, relaxed by the judge."""
    settings = RelaxationSettings(fmax_ev_per_ang=0.01, smax_ev_per_ang3=0.0002)
    scale = scale_of(judge, RelaxationSettings())
    phases = []
    for number, symbol in enumerate(sorted(elements), start=1):
        half = _size_ang(symbol) / 2**0.5
        cell = half * (np.ones((3, 3)) - np.eye(3))
        end = relax_alone(Crystal.of(cell, [[0.0] * 3], [ATOMIC_NUMBER[symbol]]), judge, settings)
        phases.append(reference_phase(number, end.crystal, end.energy_per_atom, label="fcc"))
    return Release("Morse elements", Coverage.ELEMENTS, scale, scale_digest(scale), tuple(phases))


def texts(count: int, elements: Sequence[str], *, seed: int = 0, spoilt: bool = False) -> Iterator[str]:
    """CIFs of strained and shaken compounds of drawn elements, the same for the same seed.

    spoilt: with a twin and something unreadable now and then.
    """
    dice = np.random.default_rng(seed)
    before = ""
    for number in range(1, count + 1):
        drawn = _text(number, dice, elements)  # always, so that what is spoilt moves nothing else
        if spoilt and number % BROKEN_EVERY == 0:
            yield f"data_{number}\nthis is no crystal\n"
            continue
        if not (spoilt and before and number % TWICE_EVERY == 0):
            before = drawn
        yield before


def archive(count: int, elements: Sequence[str], *, seed: int = 0, spoilt: bool = False, skip: int = 0) -> bytes:
    """The same as a zip, ``skip`` of them left out first; the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        wanted = islice(texts(skip + count, elements, seed=seed, spoilt=spoilt), skip, None)
        for number, text in enumerate(wanted, start=skip + 1):
            packed.writestr(zipfile.ZipInfo(f"{number // 1000}/{number}.cif", (2026, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


def _text(number: int, dice: np.random.Generator, elements: Sequence[str]) -> str:
    order, places = _KINDS[dice.integers(len(_KINDS))]
    species = dice.choice(np.asarray(elements), 3, replace=False).tolist()
    size = float(np.mean([_size_ang(species[kind]) for kind in order]))
    side = size * (2**0.5 if places is _FCC else 2 / 3**0.5)
    a, b, c = side * dice.uniform(1 - _STRAIN, 1 + _STRAIN, 3)
    shaken = np.array(places) + dice.normal(0.0, _SHAKE / side, (len(places), 3))
    rows = zip((species[kind] for kind in order), shaken.tolist(), strict=True)
    lines = (f"{symbol}{n} {symbol} {x:.5f} {y:.5f} {z:.5f}\n" for n, (symbol, (x, y, z)) in enumerate(rows, start=1))
    sites = "".join(lines)
    return _CIF.format(name=number, a=a, b=b, c=c) + sites


def _size_ang(symbol: str) -> float:
    radius = float(covalent_radii()[ATOMIC_NUMBER[symbol]])
    return minimum_ang(radius, radius)
