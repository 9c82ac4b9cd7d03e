"""A snapshot and the rows after it are the hull of the rows, whatever became of either."""

import itertools
import shutil

import numpy as np
import pytest
from ase.build import bulk
from driving import ordered_alloy, season_on
from facts import add_candidate

from philately.domain import hull_snapshots, place, warm_folds
from philately.domain.audits import audit
from philately.domain.hull_snapshots import load_or_rebuild, save, save_at_end, save_when_due
from philately.domain.place import place_waiting
from philately.domain.runs import hull_of
from philately.models import LogEntry, Phase, Run
from philately.states import PhaseStatus
from tests.releases import write_emt_release

AGREEMENT_EV_PER_ATOM = 1e-10
METALS = ("Ag", "Au", "Cu", "Pd")


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


def _alloy(majority, minority, n=1, stretched=1.0):
    atoms = ordered_alloy(majority, minority, lattice_ang=3.8, n_minority=n)
    atoms.set_cell(atoms.cell @ [[1, 0, 0], [0, 1, 0], [0, 0, stretched]], scale_atoms=True)
    return atoms


def _story(seed):
    """Alloys with energies at random, each followed somewhere by what refines it; and gold, refined."""
    rng = np.random.default_rng(seed)
    pairs = list(itertools.permutations(METALS, 2))
    found = [
        (_alloy(*pairs[i], stretched=rng.choice([1, 1.3])), rng.normal(-0.2, 0.1)) for i in rng.permutation(12)[:6]
    ]
    refining = [(atoms, energy - 0.006) for atoms, energy in found[:4]]
    gold = Phase.objects.get(run__season__slug="practice", formula="Au").energy_per_atom
    return [*found, (bulk("Au", "fcc", a=4.06), gold - 0.008), *[refining[i] for i in rng.permutation(4)]]


def _place(participant, atoms, energy) -> Run:
    add_candidate(participant, atoms, energy)
    place_waiting(participant.season_id)
    return _run(participant)


def _run(participant) -> Run:
    return Run.objects.select_related("release", "scale").get(pk=participant.season.official_run_id)


def _hull(run):
    return hull_of(run)


def _never():
    raise AssertionError("built again")


def _loaded(run):
    return load_or_rebuild(run, _never)


def _figures(hull):
    return [
        (
            str(point.formula),
            pytest.approx(point.hull_energy, abs=AGREEMENT_EV_PER_ATOM) if point.hull_energy is not None else None,
            point.lowest_energy,
            point.lowest_entry,
            point.is_vertex,
        )
        for point in hull.points()
    ]


def _same(hull, other):
    assert len(hull) == len(other)
    assert hull.stable_entries() == other.stable_entries()
    assert [
        (str(p.formula), p.hull_energy, p.lowest_energy, p.lowest_entry, p.is_vertex) for p in hull.points()
    ] == _figures(other)


@pytest.fixture
def rebuilt(monkeypatch):
    """Loads, expecting that the hull is built again; says why it was."""
    warnings = []
    monkeypatch.setattr(hull_snapshots.log, "warning", lambda text, *values, **about: warnings.append(text % values))

    def load(run):
        warnings.clear()
        again = _hull(run)
        assert load_or_rebuild(run, lambda: again) is again
        return warnings[0]

    return load


@pytest.mark.parametrize("seed", range(4))
def test_stopped_anywhere_the_snapshot_and_the_rows_after_it_are_the_hull_of_the_rows(participant, settings, seed):
    folders = []
    for number, (atoms, energy) in enumerate(_story(seed)):
        run = _place(participant, atoms, energy)
        save(run, _hull(run))
        assert audit(run).sentences == []
        folders.append(shutil.copytree(settings.HULL_DIR, settings.HULL_DIR.with_name(f"hulls-{number}")))
    assert LogEntry.objects.filter(kind="refined").count() >= 3
    expected = _hull(run)

    for folder in folders:
        settings.HULL_DIR = folder
        _same(_loaded(run), expected)


def test_a_phase_that_is_no_longer_on_record_leaves_the_hull(participant):
    for atoms, energy in _story(0):
        run = _place(participant, atoms, energy)
    save(run, _hull(run))
    stable = LogEntry.objects.filter(kind="stable").order_by("-position").first().phase
    Phase.objects.filter(pk=stable.pk).update(status=PhaseStatus.HELD)

    assert stable.number not in _loaded(run)
    _same(_loaded(run), _hull(run))


def test_a_season_that_just_began_has_no_snapshot_and_that_is_no_warning(participant, rebuilt):
    with pytest.raises(IndexError):
        rebuilt(_run(participant))


def test_a_missing_snapshot_costs_time_and_nothing_else(participant, rebuilt):
    run = _place(participant, _alloy("Cu", "Au"), -0.1)

    assert "is missing" in rebuilt(run)


@pytest.mark.parametrize("ending", ["npz", "json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "empty"])
def test_a_damaged_one_is_not_used(participant, settings, rebuilt, ending, damage):
    run = _place(participant, _alloy("Cu", "Au"), -0.1)
    save(run, _hull(run))
    path = settings.HULL_DIR / f"run-{run.pk}.{ending}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    {
        "cut": lambda: path.write_bytes(content[: len(content) // 2]),
        "flipped": lambda: path.write_bytes(content),
        "gone": path.unlink,
        "empty": lambda: path.write_bytes(b""),
    }[damage]()

    assert "is built again from the rows" in rebuilt(run)


def test_one_that_was_written_half_is_not_used(participant, settings, rebuilt):
    run = _place(participant, _alloy("Cu", "Au"), -0.1)
    save(run, _hull(run))
    description = settings.HULL_DIR / f"run-{run.pk}.json"
    before = description.read_bytes()
    run = _place(participant, _alloy("Cu", "Ag"), -0.1)
    save(run, _hull(run))
    description.write_bytes(before)

    assert "is not the one that was described last" in rebuilt(run)


def test_one_ahead_of_a_database_that_was_restored_is_not_used(participant, rebuilt):
    before = _place(participant, _alloy("Cu", "Au"), -0.1)
    after = _place(participant, _alloy("Cu", "Ag"), -0.1)
    save(after, _hull(after))

    assert "is ahead of the rows" in rebuilt(before)


def test_one_of_another_history_is_not_used_though_the_rows_have_gone_on(participant, rebuilt):
    _place(participant, _alloy("Cu", "Au"), -0.1)
    run = _place(participant, _alloy("Cu", "Ag"), -0.1)
    save(run, _hull(run))
    LogEntry.objects.filter(position=run.log_position).update(written_at="2026-01-01T00:00Z")  # as if placed anew
    run = _place(participant, _alloy("Cu", "Pd"), -0.1)

    assert "is of another history" in rebuilt(run)


def test_one_of_another_run_or_release_is_not_used(participant, settings, tmp_path, rebuilt):
    run = _place(participant, _alloy("Cu", "Au"), -0.1)
    save(run, _hull(run))
    few = season_on(write_emt_release(tmp_path / "few.parquet", ("Au", "Cu")), slug="few", name="Few")
    Run.objects.filter(season=few).update(placed_to=1)
    other = Run.objects.select_related("release", "scale").get(season=few)
    for ending in ("npz", "json"):
        shutil.copy(settings.HULL_DIR / f"run-{run.pk}.{ending}", settings.HULL_DIR / f"run-{other.pk}.{ending}")

    assert "is of another run, scale or release" in rebuilt(other)


def test_rows_that_do_not_add_up_with_it_count_alone(participant, rebuilt):
    run = _place(participant, _alloy("Cu", "Au"), -0.1)
    Phase.objects.filter(first_candidate__isnull=False).update(status=PhaseStatus.HELD)
    save(run, _hull(run))
    Phase.objects.update(status=PhaseStatus.ON_RECORD)

    assert "gives 7 phases, the rows 8" in rebuilt(run)


def test_it_is_due_after_so_many_changes_and_at_the_end_after_any(participant, settings):
    run = _place(participant, _alloy("Cu", "Au"), -0.1)
    save(run, _hull(run))
    assert not save_at_end(run, _hull(run))

    run = _place(participant, _alloy("Cu", "Ag"), -0.1)  # a phase and its entry in the log
    settings.HULL_SNAPSHOT_EVERY = 3
    assert not save_when_due(run, _hull(run))
    settings.HULL_SNAPSHOT_EVERY = 2
    assert save_when_due(run, _hull(run))
    assert not save_when_due(run, _hull(run))

    settings.HULL_SNAPSHOT_EVERY = 50
    run = _place(participant, _alloy("Cu", "Pt"), -0.1)
    assert save_at_end(run, _hull(run))
    _same(_loaded(run), _hull(run))


def test_one_ahead_of_the_rows_is_replaced_at_the_next_opportunity(participant):
    before = _place(participant, _alloy("Cu", "Au"), -0.1)
    hull = _hull(before)
    after = _place(participant, _alloy("Cu", "Ag"), -0.1)
    save(after, _hull(after))

    assert save_when_due(before, hull)
    _same(_loaded(before), hull)


def test_a_lock_is_kept_while_a_snapshot_is_taken_up(participant):
    run = _place(participant, _alloy("Cu", "Au"), -0.1)
    save(run, _hull(run))
    kept = []

    load_or_rebuild(run, _never, keep=lambda: kept.append(True))

    assert kept


def _files(settings):
    return sorted(path.name for path in settings.HULL_DIR.glob("*"))


def test_the_sequencer_keeps_the_hull_now_and_then_and_at_its_end(participant, settings):
    settings.HULL_SNAPSHOT_EVERY = 1_000_000
    run = _place(participant, _alloy("Cu", "Au"), -0.1)
    assert _files(settings) == []
    place.leave()
    assert _files(settings) == [f"run-{run.pk}.json", f"run-{run.pk}.npz"]
    _same(_loaded(run), _hull(run))

    settings.HULL_SNAPSHOT_EVERY = 1
    run = _place(participant, _alloy("Cu", "Ag"), -0.1)
    _same(_loaded(run), _hull(run))
    assert not save_at_end(run, _hull(run))


def test_one_that_has_placed_nothing_or_less_than_another_since_keeps_nothing_at_its_end(participant, settings):
    place.leave()
    before = _place(participant, _alloy("Cu", "Au"), -0.1)
    behind = warm_folds.take(before)
    _place(participant, _alloy("Cu", "Ag"), -0.1)
    place.forget()
    warm_folds.keep(before, behind)

    place.leave()

    assert _files(settings) == []


def test_a_disk_that_takes_no_snapshot_does_not_stop_the_sequencer(participant, settings, tmp_path):
    settings.HULL_SNAPSHOT_EVERY = 1
    settings.HULL_DIR = tmp_path / "file" / "hulls"
    (tmp_path / "file").write_text("in the way")

    _place(participant, _alloy("Cu", "Au"), -0.1)
    run = _place(participant, _alloy("Cu", "Ag"), -0.1)

    assert run.placed_to == 2


def test_told_to_end_the_sequencer_stops_after_a_chunk_and_the_next_one_goes_on(participant, settings):
    settings.PLACE_CHUNK = 2
    story = _story(0)
    for atoms, energy in story:
        add_candidate(participant, atoms, energy)
    told = iter([False, False, True])

    assert place_waiting(participant.season_id, stop=lambda: next(told)) == 4
    place.leave()
    place.forget()

    assert place_waiting(participant.season_id) == len(story) - 4
    assert audit(_run(participant)).sentences == []
