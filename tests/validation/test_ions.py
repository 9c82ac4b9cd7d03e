"""The table of ions, held against the radii that pymatgen has of Shannon's."""

import pytest

from hull.entries import ATOMIC_NUMBER, SYMBOLS
from validation.ions import ESTIMATED, ion, ions

TYPED = ions(SYMBOLS)


def shannon(one):
    from pymatgen.core import Species

    found = []
    for spin in ("", "High Spin"):
        try:
            found.append(Species(one.element, one.charge).get_shannon_radius("VI", spin=spin, radius_type="ionic"))
        except KeyError:
            continue
    return found


@pytest.mark.parametrize("one", [one for one in TYPED if str(one) not in ESTIMATED], ids=str)
@pytest.mark.filterwarnings("ignore")
def test_a_radius_is_shannons(one):
    assert any(radius == pytest.approx(one.radius_ang, abs=1e-6) for radius in shannon(one))


@pytest.mark.parametrize("name", sorted(ESTIMATED))
@pytest.mark.filterwarnings("ignore")
def test_what_is_called_estimated_is_in_the_table_and_not_shannons(name):
    (one,) = [one for one in TYPED if str(one) == name]

    assert shannon(one) == []


def test_an_ion_stands_once_and_is_of_an_element():
    keys = [(one.element, one.charge) for one in TYPED]

    assert len(set(keys)) == len(keys)
    assert {one.element for one in TYPED} <= ATOMIC_NUMBER.keys()
    assert {one.rank for one in TYPED} == {1, 2, 3}


def test_an_ion_is_found_by_element_and_charge():
    assert ion("Fe", 3).radius_ang == 0.645
    assert [str(one) for one in ions(["O", "Fe"])] == ["Fe2+", "Fe3+", "O2-"]
    with pytest.raises(KeyError):
        ion("Na", 2)
