"""Lists of neighbours against ASE's, and as atoms and cells move."""

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from validation.evaluation import Batch, CellTooFlat
from validation.judges.pairs import half_pairs

CUTOFF_ANG = 4.0


def _cell(rng, n_atoms, flatness):
    cell = rng.normal(size=(3, 3)) + np.diag([1, 1, flatness])
    return cell * (15.0 * n_atoms / abs(np.linalg.det(cell))) ** (1 / 3)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), n_atoms=st.integers(1, 9), flatness=st.sampled_from([1.0, 6.0]))
def test_pairs_are_those_of_ases_list_whatever_the_cell_and_wherever_the_atoms(seed, n_atoms, flatness):
    rng = np.random.default_rng(seed)
    cell = _cell(rng, n_atoms, flatness)
    positions = (4 * rng.random((n_atoms, 3)) - 2) @ cell

    sites, offsets = half_pairs(cell, positions, CUTOFF_ANG)

    first, second, images = neighbor_list(
        "ijS", Atoms(f"H{n_atoms}", positions=positions, cell=cell, pbc=True), CUTOFF_ANG
    )
    listed = {(*pair, *offset) for pair, offset in zip(sites.tolist(), offsets.tolist(), strict=True)}
    turned = {(j, i, -a, -b, -c) for i, j, a, b, c in listed}
    assert not listed & turned
    assert listed | turned == {(i, j, *image) for i, j, image in zip(first, second, images.tolist(), strict=True)}


def test_a_cell_as_flat_as_paper_is_refused_before_its_images_are_counted():
    with pytest.raises(CellTooFlat, match="Å is too flat"):
        half_pairs(np.array([[1e-4, 0, 0], [0, 1e-4, 0], [0, 0, 1e9]]), np.zeros((2, 3)), CUTOFF_ANG)


def test_a_list_with_a_skin_gives_the_same_edges_as_a_fresh_one_while_everything_moves():
    import torch

    from validation.judges.graphs import Neighbours

    rng = np.random.default_rng(3)
    kept, device = Neighbours(CUTOFF_ANG, torch.device("cpu")), torch.device("cpu")
    cells = np.stack([_cell(rng, n_atoms, 1.0) for n_atoms in (2, 5, 3)])
    places = [rng.random((n_atoms, 3)) for n_atoms in (2, 5, 3)]
    lists = 0
    for step in range(30):
        cells = cells @ (np.eye(3) + 0.004 * rng.normal(size=(3, 3, 3)))
        places = [place + 0.01 * rng.normal(size=place.shape) for place in places]
        chosen = [0, 1, 2] if step % 7 else [1, 2]  # one leaves for a while
        batch = _batch([cells[index] for index in chosen], [places[index] for index in chosen], chosen)

        before = dict(kept._listed)
        found = _described(kept.edges(batch))

        lists += sum(kept._listed[key] is not before.get(key) for key in batch.keys)
        assert found == _described(Neighbours(CUTOFF_ANG, device).edges(batch))
    assert lists < 3 * 15  # most steps list nothing anew


def test_after_memory_ran_out_while_lists_were_gathered_they_are_gathered_again(monkeypatch):
    import torch

    from validation.judges.graphs import Neighbours

    rng = np.random.default_rng(4)
    cells, places = [_cell(rng, 2, 1.0) for _ in range(2)], [rng.random((2, 3)) for _ in range(2)]
    kept, device = Neighbours(CUTOFF_ANG, torch.device("cpu")), torch.device("cpu")
    first, second = (_batch([cells[one]], [places[one]], [one]) for one in (0, 1))
    kept.edges(first)
    with monkeypatch.context() as patched:
        patched.setattr(torch, "as_tensor", lambda *arguments, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            kept.edges(second)

    found = kept.edges(second)

    assert _described(found) == _described(Neighbours(CUTOFF_ANG, device).edges(second))


def _batch(cells, places, keys):
    sizes = [len(place) for place in places]
    positions = np.concatenate([place @ cell for place, cell in zip(places, cells, strict=True)])
    return Batch(np.cumsum([0, *sizes]), np.ones(sum(sizes), dtype=np.int64), positions, np.stack(cells), tuple(keys))


def _described(edges):
    """Edges by their distance and ends: of a pair either direction may be listed."""
    lengths = edges.vectors.norm(dim=1).tolist()
    ends = zip(edges.first.tolist(), edges.second.tolist(), strict=True)
    return sorted((min(pair), max(pair), round(length, 9)) for pair, length in zip(ends, lengths, strict=True))
