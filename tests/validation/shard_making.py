"""Shards of small alloys that EMT relaxes in milliseconds, and the parts that are written of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.build import bulk

from validation.crystal import Crystal
from validation.potentials import Judge
from validation.rules import RelaxationSettings
from validation.scales import scale_of
from validation.shard_files import Order, Ordered

SETTINGS = RelaxationSettings(max_steps=60)


def order_on(judge: Judge, settings: RelaxationSettings = SETTINGS) -> Order:
    return Order(
        name="spring-0001", judge=judge.name, model=judge.model, settings=settings, scale=scale_of(judge, settings)
    )


def alloys(count: int) -> list[Ordered]:
    """Of one, two and four atoms in turn, each a little off its equilibrium."""
    made = []
    for number in range(count):
        host, guest = (("Cu", "Au"), ("Ni", "Al"), ("Pt", "Ag"))[number % 3]
        atoms = bulk(host, "fcc", a=bulk(host).cell.lengths()[0] * 2**0.5 * 1.02, cubic=number % 2 == 0)
        if len(atoms) > 1:
            atoms.symbols[0] = guest
        atoms.set_cell(atoms.cell.array * (1 + 0.003 * number), scale_atoms=True)
        made.append(Ordered(f"s{number}", Crystal.from_atoms(atoms)))
    return made


def poison() -> Ordered:
    """The only one with palladium."""
    return Ordered("poison", Crystal.of(3.9 * (np.ones((3, 3)) - np.eye(3)) / 2, [[0, 0, 0]], [46]))


def folder_of(out: Path) -> Path:
    """Where parts of the results lie until all are there."""
    return out.with_name(f"{out.name}.parts")


def parts_of(out: Path) -> list[Path]:
    return sorted(folder_of(out).glob("*.parquet"))
