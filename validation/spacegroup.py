"""The space group of a relaxed crystal."""

from __future__ import annotations

from validation.crystal import Crystal

SYMPREC_ANG = 0.05  # what forces of 0.03 eV/Å leave of a displaced start


def space_group_number(crystal: Crystal, symprec_ang: float = SYMPREC_ANG) -> int | None:
    """International number by spglib (Togo, Shinohara, Tanaka, 2024; doi 10.1080/27660400.2024.2384822).

    None where spglib finds no group.
    """
    import spglib  # late: the web process never needs it

    dataset = spglib.get_symmetry_dataset((crystal.lattice, crystal.frac_coords, crystal.numbers), symprec=symprec_ang)
    return None if dataset is None else int(dataset.number)
