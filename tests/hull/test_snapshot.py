import os
import pickle
import random
import stat

import numpy as np
import pytest
from hull_oracle import chemistries, filled
from hypothesis import HealthCheck, given, settings

from hull.entries import Entry, Formula
from hull.snapshot import DamagedSnapshot, load, save
from hull.store import HullStore

ENTRIES = [
    Entry(1, Formula.parse("Li"), -1.0),
    Entry(2, Formula.parse("O"), -2.0),
    Entry(3, Formula.parse("LiO"), -3.0),
    Entry(4, Formula.parse("LiO"), -2.5),
    Entry(5, Formula.parse("FeO"), -2.5),
]


def everything_about(store, entries):
    return (
        store.scale,
        len(store),
        list(store.points()),
        store.stable_entries(),
        [(store.entry_position(entry.entry_id), store.e_above_hull(entry.entry_id)) for entry in entries],
        [store.position(entry.formula, -0.5) for entry in entries],
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chemistries(referenced=False))
def test_a_loaded_store_gives_every_answer_to_the_last_bit(tmp_path, entries):
    store = filled(entries)
    save(store, tmp_path / "hull.npz", log_position=17)

    loaded, log_position = load(tmp_path / "hull.npz")

    assert log_position == 17
    assert everything_about(loaded, entries) == everything_about(store, entries)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chemistries())
def test_a_loaded_store_goes_on_where_the_saved_one_stood(tmp_path, entries):
    half = len(entries) // 2
    store = filled(entries[:half])
    if half:
        store.withdraw(entries[0].entry_id)
        store.insert(entries[0])
    save(store, tmp_path / "hull.npz", log_position=half)

    loaded, _ = load(tmp_path / "hull.npz")

    for entry in entries[half:]:
        assert loaded.insert(entry) == store.insert(entry)
    for entry in entries[::2]:
        assert loaded.withdraw(entry.entry_id).events == store.withdraw(entry.entry_id).events


def test_an_empty_store_is_a_store(tmp_path):
    save(HullStore("PBE ü"), tmp_path / "hull.npz", log_position=0)

    store, log_position = load(tmp_path / "hull.npz")

    assert (store.scale, len(store), log_position) == ("PBE ü", 0, 0)


def test_the_same_store_gives_the_same_bytes(tmp_path):
    save(filled(ENTRIES), tmp_path / "one.npz", log_position=5)
    save(filled(ENTRIES), tmp_path / "two.npz", log_position=5)

    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_no_flipped_or_missing_byte_is_believed(tmp_path):
    store = filled(ENTRIES)
    save(store, tmp_path / "hull.npz", log_position=5)
    content = (tmp_path / "hull.npz").read_bytes()
    expected = everything_about(store, ENTRIES)
    refused = 0

    for place in random.Random(2).sample(range(len(content)), 200):
        (tmp_path / "damaged.npz").write_bytes(content[:place] + bytes([content[place] ^ 0x11]) + content[place + 1 :])
        try:
            loaded, log_position = load(tmp_path / "damaged.npz")
        except DamagedSnapshot:
            refused += 1
        else:  # a byte of the container that means nothing, such as a date
            assert log_position == 5
            assert everything_about(loaded, ENTRIES) == expected
    assert refused > 50
    for length in (0, 1, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "damaged.npz").write_bytes(content[:length])
        with pytest.raises(DamagedSnapshot):
            load(tmp_path / "damaged.npz")


def test_numbers_that_were_exchanged_inside_a_whole_container_are_not_believed(tmp_path):
    save(filled(ENTRIES), tmp_path / "hull.npz", log_position=5)
    with np.load(tmp_path / "hull.npz") as archive:
        arrays = dict(archive)
    arrays["entries"] = arrays["entries"] + 1
    np.savez(tmp_path / "forged.npz", **arrays)

    with pytest.raises(DamagedSnapshot, match="checksum"):
        load(tmp_path / "forged.npz")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_pickle_is_refused_and_never_run(tmp_path, monkeypatch, wrapped):
    monkeypatch.chdir(tmp_path)
    if wrapped:
        np.savez("bomb.npz", checksum=np.array([Bomb()], dtype=object))
    else:
        (tmp_path / "bomb.npz").write_bytes(pickle.dumps(Bomb()))

    with pytest.raises(DamagedSnapshot):
        load("bomb.npz")

    assert not (tmp_path / "exploded").exists()


def test_a_failed_save_leaves_the_old_snapshot_and_nothing_else(tmp_path):
    path = tmp_path / "hull.npz"
    save(filled(ENTRIES), path, log_position=5)

    with pytest.raises(OverflowError):
        save(filled(ENTRIES), path, log_position=2**70)
    with pytest.raises(FileNotFoundError):
        save(filled(ENTRIES), tmp_path / "nowhere" / "hull.npz", log_position=6)

    assert load(path)[1] == 5
    assert [file.name for file in tmp_path.iterdir()] == ["hull.npz"]


def test_a_snapshot_is_as_readable_as_any_file(tmp_path):
    save(filled(ENTRIES), tmp_path / "hull.npz", log_position=5)
    (tmp_path / "plain").touch()

    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("hull.npz", "plain")]

    assert modes[0] == modes[1]


def test_a_file_that_is_not_there_is_an_error_of_the_disk(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "hull.npz")


def test_a_loaded_store_has_room_for_its_largest_programme(tmp_path):
    store = HullStore("test")
    elements = [Entry(1, Formula.parse("Li"), 0.0), Entry(2, Formula.parse("O"), 0.0)]
    curve = [Entry(2 + n, Formula.of({"Li": n, "O": 1}), -n / (n + 1) ** 2) for n in range(1, 400)]
    store.insert_many(elements + curve)
    save(store, tmp_path / "hull.npz", log_position=0)

    loaded, _ = load(tmp_path / "hull.npz")

    ternary = Formula.parse("FeLiO")
    loaded.insert(Entry(900, Formula.parse("Fe"), -1.0))
    assert loaded.position(ternary, -1.0) == _with_iron(store).position(ternary, -1.0)
    assert loaded.withdraw(100).events == store.withdraw(100).events
    assert list(loaded.points()) == list(store.points())


def _with_iron(store: HullStore) -> HullStore:
    store.insert(Entry(900, Formula.parse("Fe"), -1.0))
    return store
