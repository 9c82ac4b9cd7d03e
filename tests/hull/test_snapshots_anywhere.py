"""A store that was stopped anywhere and goes on from its snapshot is the store that never stopped."""

import random

import pytest
from hull_checks import assert_planes_support_the_hull, assert_same_store, close, points_of
from hull_oracle import ENERGIES, chemistries, effort, examples, filled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hull.entries import Entry, Formula
from hull.snapshot import DamagedSnapshot, load, save
from hull.store import HullStore

anywhere = settings(examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def histories(draw):
    """Operations that all succeed, in order: ("insert", entries), ("withdraw", id), ("lower", id, eV/atom)."""
    waiting, kept, steps = draw(chemistries(referenced=draw(st.booleans()))), {}, []
    while waiting:
        action = draw(st.sampled_from(["insert", "insert", "withdraw", "lower"])) if kept else "insert"
        if action == "insert":
            batch = [waiting.pop() for _ in range(min(len(waiting), draw(st.integers(1, 4))))]
            kept |= {entry.entry_id: entry for entry in batch}
            steps.append(("insert", batch))
            continue
        number = draw(st.sampled_from(sorted(kept)))
        if action == "withdraw":
            entry = kept.pop(number)
            steps.append(("withdraw", number))
            if draw(st.booleans()):
                waiting.append(entry)
        else:
            energy = min(kept[number].energy_per_atom, draw(ENERGIES))
            kept[number] = Entry(number, kept[number].formula, energy)
            steps.append(("lower", number, energy))
    return steps


def apply(store, step):
    """Of each result what may not depend on where the store was stopped."""
    action, *arguments = step
    results = store.insert_many(*arguments) if action == "insert" else [getattr(store, action)(*arguments)]
    return [(result.events, result.moved) for result in results]


def through_a_file(store, path, log_position):
    save(store, path, log_position=log_position)
    loaded, position = load(path)
    assert position == log_position
    return loaded


@anywhere
@given(histories(), st.data())
def test_stopping_once_anywhere_changes_nothing_that_follows(tmp_path, steps, data):
    stop = data.draw(st.integers(0, len(steps)))
    store = HullStore("test")
    for step in steps[:stop]:
        apply(store, step)

    loaded = through_a_file(store, tmp_path / "hull.npz", stop)

    assert points_of(loaded) == points_of(store)
    for step in steps[stop:]:
        assert apply(loaded, step) == apply(store, step)
    assert_same_store(loaded, store)
    assert_planes_support_the_hull(loaded)


@anywhere
@given(histories())
def test_stopping_after_every_step_changes_nothing_either(tmp_path, steps):
    store, restless = HullStore("test"), HullStore("test")

    for number, step in enumerate(steps):
        restless = through_a_file(restless, tmp_path / "hull.npz", number)
        assert apply(restless, step) == apply(store, step)

    assert_same_store(restless, store)
    for point in store.points():
        here, there = (one.position(point.formula, 0.25) for one in (store, restless))
        assert here.e_above_hull == close(there.e_above_hull)
        assert here.missing == there.missing


@anywhere
@given(histories())
def test_saving_a_loaded_store_gives_the_bytes_that_were_loaded(tmp_path, steps):
    store = HullStore("test")
    for step in steps:
        apply(store, step)
    save(store, tmp_path / "first.npz", log_position=3)

    save(load(tmp_path / "first.npz")[0], tmp_path / "second.npz", log_position=3)

    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A snapshot with everything in it: polymorphs, vertices, an undefined chemistry, ids at both ends."""
    texts = ["Li", "O", "Fe", "LiO", "Li2O", "LiO2", "FeO", "Fe2O3", "FeLiO2", "FeLi", "NaO", "NaFe", "LiO", "FeO"]
    dice = random.Random(5)
    entries = [Entry(number, Formula.parse(text), -dice.random() * 4) for number, text in enumerate(texts)]
    store = filled([*entries, Entry(2**63 - 1, Formula.parse("Li3O"), -2.0), Entry(-(2**63), Formula.parse("O"), -0.5)])
    path = tmp_path_factory.mktemp("snapshots") / "hull.npz"
    save(store, path, log_position=2**62)
    return store, path


def test_ids_and_log_positions_come_back_at_full_width(written):
    store, path = written

    loaded, log_position = load(path)

    assert log_position == 2**62
    assert points_of(loaded) == points_of(store)
    assert loaded.e_above_hull(2**63 - 1) == store.e_above_hull(2**63 - 1)
    assert loaded.e_above_hull(-(2**63)) == store.e_above_hull(-(2**63))


def test_no_cut_anywhere_is_believed(written, tmp_path):
    content = written[1].read_bytes()
    lengths = {*_spread(len(content), 150), *range(40), *range(len(content) - 60, len(content))}

    for length in sorted(lengths):
        (tmp_path / "cut.npz").write_bytes(content[:length])
        with pytest.raises(DamagedSnapshot):
            load(tmp_path / "cut.npz")


def test_a_flipped_bit_anywhere_is_refused_or_meant_nothing(written, tmp_path):
    store, path = written
    content, refused = path.read_bytes(), 0
    dice = random.Random(7)

    places = _spread(len(content), 300)
    for place in places:
        flipped = content[place] ^ (1 << dice.randrange(8))
        (tmp_path / "flipped.npz").write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
        try:
            loaded, log_position = load(tmp_path / "flipped.npz")
        except DamagedSnapshot:
            refused += 1
        else:
            assert log_position == 2**62
            assert (points_of(loaded), loaded.scale) == (points_of(store), store.scale)
            assert_same_store(loaded, store)
    assert refused > 0.3 * len(places)


def _spread(length, count):
    """So many places of a file, ten times as many where slow tests run."""
    return sorted(random.Random(9).sample(range(length), min(length, count * effort)))


@pytest.mark.parametrize("tail", [b"\0", b"PK\x05\x06" + bytes(18), b"\0" * 4096])
def test_what_was_appended_is_refused_or_meant_nothing(written, tmp_path, tail):
    store, path = written
    (tmp_path / "longer.npz").write_bytes(path.read_bytes() + tail)

    try:
        loaded, _ = load(tmp_path / "longer.npz")
    except DamagedSnapshot:
        return
    assert points_of(loaded) == points_of(store)
