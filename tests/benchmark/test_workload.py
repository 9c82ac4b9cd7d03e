import numpy as np
import pytest

from benchmark.workload import ELEMENTS, SHARES, Workload, by_system, composition_keys, system_keys, take
from hull.arrays import EntryArrays

FIELDS = EntryArrays.__slots__
N_ENTRIES = 40_000


@pytest.fixture(scope="module")
def workload():
    return Workload(N_ENTRIES, seed=3)


@pytest.fixture(scope="module")
def entries(workload):
    return workload.entries()


def rows_of(arrays):
    """Everything about each entry, in an order of its own."""
    columns = [arrays.entry_ids, *arrays.atomic_numbers.T, *arrays.amounts.T, arrays.energies_per_atom]
    return np.column_stack(columns)[np.argsort(arrays.entry_ids)]


def n_elements(arrays):
    return np.count_nonzero(arrays.amounts, axis=1)


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(entries):
    again, other = Workload(N_ENTRIES, seed=3).entries(), Workload(N_ENTRIES, seed=4).entries()

    assert all(getattr(again, name).tobytes() == getattr(entries, name).tobytes() for name in FIELDS)
    assert not np.array_equal(other.energies_per_atom, entries.energies_per_atom)


def test_entries_are_as_the_store_takes_them(entries):
    assert [getattr(entries, name).dtype for name in FIELDS] == [np.int64, np.uint8, np.int32, np.float64]
    assert entries.atomic_numbers.shape == entries.amounts.shape == (N_ENTRIES, 9)
    assert len(np.unique(entries.entry_ids)) == N_ENTRIES
    assert np.isfinite(entries.energies_per_atom).all()
    assert np.array_equal(entries.atomic_numbers > 0, entries.amounts > 0)
    assert (np.gcd.reduce(entries.amounts, axis=1) == 1).all()
    steps = np.diff(entries.atomic_numbers.astype(int), axis=1)
    assert ((steps > 0) | (entries.atomic_numbers[:, 1:] == 0)).all()


def test_every_element_comes_first_with_a_total_energy_of_its_own(entries):
    first = take(entries, slice(0, len(ELEMENTS)))

    assert sorted(first.atomic_numbers[:, 0]) == sorted(ELEMENTS)
    assert (n_elements(first) == 1).all()
    assert ((first.energies_per_atom <= -1.0) & (first.energies_per_atom >= -10.0)).all()
    assert (n_elements(entries)[len(ELEMENTS) :] >= 2).all()


def test_entries_spread_over_sizes_systems_and_energies_as_they_should(workload, entries):
    compounds = take(entries, slice(len(ELEMENTS), None))
    sizes = n_elements(compounds)
    fractions = compounds.amounts / compounds.amounts.sum(axis=1, keepdims=True)
    references = np.nan_to_num(workload.reference)[compounds.atomic_numbers]
    formation = compounds.energies_per_atom - (fractions * references).sum(axis=1)

    for size, share in SHARES.items():
        assert np.mean(sizes == size) == pytest.approx(share, abs=0.01)
    assert compounds.amounts.max() == 6
    assert -0.2 < np.median(formation) < 0.1
    assert (np.abs(formation) < 3.0).all()
    used = np.bincount(compounds.atomic_numbers[compounds.amounts > 0], minlength=95)[ELEMENTS]
    assert used.min() > 0
    assert used.max() > 5 * used.min()
    entries_per_system = np.unique(system_keys(compounds), return_counts=True)[1]
    assert entries_per_system.max() > 10 * np.median(entries_per_system)


def test_a_composition_has_one_ground_state_energy_and_polymorphs_above_it(entries):
    order = np.argsort(composition_keys(entries), kind="stable")
    keys, energies = composition_keys(entries)[order], entries.energies_per_atom[order]
    lowest = np.minimum.reduceat(energies, np.flatnonzero(np.r_[True, np.diff(keys) != 0]))
    above = energies - np.repeat(lowest, np.unique(keys, return_counts=True)[1])

    assert 0.55 < np.mean(above > 0) < 0.75
    assert np.mean(above[above > 0]) == pytest.approx(0.06, abs=0.01)


def test_two_draws_of_one_chemistry_agree_where_they_meet(workload, entries):
    more, others = workload.more(20_000), workload.more(20_000, draw=1)

    assert not np.array_equal(more.energies_per_atom, others.energies_per_atom)
    assert not np.isin(more.entry_ids, entries.entry_ids).any()
    assert np.isin(system_keys(more), system_keys(entries)).mean() > 0.5
    same = np.intersect1d(composition_keys(more), composition_keys(entries))
    assert 0 < len(same) < 0.9 * len(more)
    lowest = [
        {key: arrays.energies_per_atom[composition_keys(arrays) == key].min() for key in same[:20]}
        for arrays in (more, entries)
    ]
    assert lowest[0] == pytest.approx(lowest[1], abs=1e-12)


def test_clustered_by_system_is_the_same_entries_with_the_elements_first(entries):
    clustered = by_system(entries)

    assert np.array_equal(rows_of(clustered), rows_of(entries))
    assert (n_elements(clustered)[: len(ELEMENTS)] == 1).all()
    changes = np.count_nonzero(np.diff(system_keys(clustered)) != 0) + 1
    assert changes == len(np.unique(system_keys(entries)))


def test_a_chemistry_smaller_than_its_elements_is_refused():
    with pytest.raises(ValueError, match="89"):
        Workload(88)
