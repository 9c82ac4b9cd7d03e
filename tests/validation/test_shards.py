"""A shard is relaxed as a season would relax it, whatever happens to the process; nothing is lost and nothing twice."""

import dataclasses

import pytest
from shard_making import SETTINGS, alloys, order_on, parts_of, poison

from validation.canary import CanaryDied, Expected, canary_crystal
from validation.potentials import load_judge
from validation.relaxation import relax
from validation.scales import WrongScale
from validation.shard_checks import relaxation_of
from validation.shard_files import BadShard, Ordered, Results, joined, read_results, read_shard, write_shard
from validation.shard_parts import Busy, Parts
from validation.shards import Pace, UnusableJudge, judge_for, relax_shard


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


@pytest.fixture(scope="module")
def emt():
    return load_judge("emt")


@pytest.fixture(scope="module")
def checked(emt):
    return judge_for(order_on(emt))


@pytest.fixture
def shard(tmp_path, emt):
    """A file with six structures."""
    path = tmp_path / "in.parquet"
    write_shard(path, order_on(emt), alloys(6))
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.parquet"


def _ids(results):
    return [row["id"] for row in results.rows]


def test_a_shard_is_read_back_as_it_was_written(shard, emt):
    found = read_shard(shard)

    assert found.order == order_on(emt)
    assert [(one.id, one.crystal.pack()) for one in found.structures] == [
        (one.id, one.crystal.pack()) for one in alloys(6)
    ]


def test_each_structure_ends_as_it_would_alone_and_in_the_shard_s_order(shard, out, emt, checked):
    progress = relax_shard(shard, out, lambda order: checked)

    results = read_results(out)
    assert (progress.done, progress.failed, progress.atoms_done) == (6, 0, progress.atoms)
    assert _ids(results) == [f"s{number}" for number in range(6)]
    for row, one in zip(results.rows, alloys(6), strict=True):
        here = relax(one.crystal, emt, SETTINGS)
        there = relaxation_of(row, one.crystal, SETTINGS)
        assert (there.stopped, there.steps) == (here.stopped, here.steps)
        assert there.energy_per_atom == pytest.approx(here.energy_per_atom, abs=1e-6)
        assert there.energy_per_atom == row["energy_per_atom"]
        for name in ("fmax_ev_per_ang", "smax_ev_per_ang3", "rmsd_ang", "volume_change"):
            assert getattr(there, name) == pytest.approx(row[name], abs=1e-12)
            assert getattr(there, name) == pytest.approx(getattr(here, name), abs=1e-4)


def test_results_say_who_made_them_and_of_what(shard, out, emt, checked):
    relax_shard(shard, out, lambda order: checked)

    results = read_results(out)
    (provenance,) = results.provenances
    assert results.shard_sha256 == read_shard(shard).sha256
    assert results.scale == order_on(emt).scale
    assert provenance["device"] == "cpu"
    assert provenance["weights_sha256"] == emt.weights_sha256
    assert provenance["canary"]["Cu"]["lattice_ang"] == pytest.approx(3.590, abs=0.02)
    assert {row["made_by"] for row in results.rows} == {0}
    assert not out.with_name("out.parquet.parts").exists()


def test_told_to_stop_it_keeps_what_is_finished_and_goes_on_with_the_rest(shard, out, checked):
    steps = []

    def after(n_steps):
        return lambda: len(steps) >= n_steps or steps.append(None)

    first = relax_shard(shard, out, lambda order: checked, stop=after(40))
    kept = {row["id"]: row for path in parts_of(out) for row in read_results(path).rows}
    taken = []
    second = relax_shard(shard, out, lambda order: taken.append(order) or checked)

    rows = {row["id"]: row for row in read_results(out).rows}
    assert 0 < first.done < 6
    assert len(kept) == first.done
    assert {id: rows[id] for id in kept} == kept  # not relaxed again: even the seconds are the same
    assert second.done == len(rows) == 6
    assert len(taken) == 1


def test_what_is_finished_is_not_done_again_and_asks_for_no_judge(shard, out, checked):
    relax_shard(shard, out, lambda order: checked)
    before = out.read_bytes()

    assert relax_shard(shard, out, lambda order: pytest.fail("there is nothing to do")).done == 6
    assert out.read_bytes() == before


def test_killed_between_the_results_and_the_removal_of_the_parts_it_is_whole(shard, out, checked, monkeypatch):
    def die(self):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Parts, "forget", die)
        with pytest.raises(Killed):
            relax_shard(shard, out, lambda order: checked)
    assert out.exists()
    assert parts_of(out)

    relax_shard(shard, out, lambda order: pytest.fail("there is nothing to do"))

    assert not out.with_name("out.parquet.parts").exists()
    assert len(read_results(out).rows) == 6


def test_half_a_file_of_a_killed_process_is_removed(shard, out, checked):
    half = out.with_name(f".{out.name}.0123")
    half.write_bytes(b"half")

    relax_shard(shard, out, lambda order: checked)

    assert not half.exists()


def test_of_two_processes_one_is_told_that_the_other_is_at_work(shard, out, checked):
    with Parts(read_shard(shard), out), pytest.raises(Busy, match="another process is at work in "):
        relax_shard(shard, out, lambda order: checked)


def test_parts_and_results_of_another_shard_are_not_mixed_in(shard, out, emt, checked, tmp_path):
    other = tmp_path / "other.parquet"
    write_shard(other, order_on(emt), alloys(2))
    relax_shard(other, out, lambda order: checked)

    with pytest.raises(BadShard, match=r"out.parquet is there already and was made of another shard"):
        relax_shard(shard, out, lambda order: checked)

    out.rename(out.with_name("elsewhere.parquet"))
    with Parts(read_shard(other), out) as parts:
        parts.save([dict(read_results(out.with_name("elsewhere.parquet")).rows[0])], {})
    with pytest.raises(BadShard, match="was made of another shard than spring-0001"):
        relax_shard(shard, out, lambda order: checked)


class Deadly:
    """A calculator that takes its process along when it meets palladium."""

    def __init__(self, calculator):
        self._calculator = calculator

    def __getattr__(self, name):
        return getattr(self._calculator, name)

    def get_potential_energy(self, atoms, **options):
        if 46 in atoms.numbers:
            raise Killed
        return self._calculator.get_potential_energy(atoms, **options)


def test_a_structure_that_kills_its_process_goes_alone_and_is_then_left_out(tmp_path, out, emt, checked):
    shard = tmp_path / "in.parquet"
    write_shard(shard, order_on(emt), [*alloys(2), poison(), *alloys(4)[2:]])
    deadly = dataclasses.replace(checked, judge=dataclasses.replace(emt, calculator=Deadly(emt.calculator)))
    done = []
    for _ in range(3):
        with pytest.raises(Killed):
            relax_shard(shard, out, lambda order: deadly)
        done.append(sum(len(read_results(path).rows) for path in parts_of(out)))

    progress = relax_shard(shard, out, lambda order: deadly)

    rows = {row["id"]: row for row in read_results(out).rows}
    assert done == [2, 2, 4]  # the third time it was kept for the end
    assert (progress.done, progress.failed) == (5, 1)
    assert rows["poison"]["error"] == "3 processes died or hung while it was being relaxed"
    assert rows["poison"]["crystal"] is None
    assert all(row["stopped"] == "converged" for id, row in rows.items() if id != "poison")


def test_a_time_limit_is_an_error_in_its_row(shard, out, checked):
    progress = relax_shard(shard, out, lambda order: checked, pace=Pace(limit_s=0.0))

    assert progress.failed == 6
    assert all(row["error"].startswith("TimeLimitExceeded: not finished") for row in read_results(out).rows)


def test_the_judge_must_pass_its_canary_and_be_on_the_shard_s_scale(emt):
    order = order_on(emt)
    with pytest.raises(WrongScale, match=r"not on the scale of spring-0001: weights_sha256 is \w+…, asked for is 0000"):
        judge_for(dataclasses.replace(order, scale={**order.scale, "weights_sha256": "0" * 64}))
    with pytest.raises(UnusableJudge, match="the judge emt cannot be loaded: the judge emt has no models"):
        judge_for(order, model="folder")
    with pytest.raises(
        UnusableJudge, match="there is no /nowhere/TensorNet here; --model says where the weights of matgl"
    ):
        judge_for(dataclasses.replace(order, judge="matgl", model="/nowhere/TensorNet"))

    with pytest.raises(WrongScale, match=r"inside is None, asked for is bfloat16"):
        judge_for(order_on(dataclasses.replace(emt, options={"inside": "bfloat16"})))

    described = '{"path": "ase.calculators.emt:EMT", "elements": ["Cu", "Au"], "cutoff_ang": 5.8}'
    own = load_judge("ase", described)
    accepted = {"Cu": Expected(3.590, -0.5)}
    with pytest.raises(CanaryDied, match=r"Cu: expected a = 3.590 Å.*values accepted for these weights"):
        judge_for(dataclasses.replace(order_on(own), accepted=accepted))


def test_rows_that_are_missing_or_there_twice_are_never_joined(checked, emt):
    structures = alloys(2)
    rows = tuple({**dict.fromkeys(["error"]), "id": one.id, "made_by": 0} for one in structures)
    part = Results("spring-0001", "0" * 64, order_on(emt).scale, ({"device": "cpu"},), rows)

    with pytest.raises(BadShard, match="s0 was relaxed twice"):
        joined([part, part], structures)
    with pytest.raises(BadShard, match="2 rows are not those of its 3 structures"):
        joined([part], alloys(3))


def test_parts_of_two_devices_keep_their_provenance_apart(emt):
    structures = alloys(3)
    rows = [{"id": one.id, "made_by": 0} for one in structures]
    scale = order_on(emt).scale
    parts = [
        Results("spring-0001", "0" * 64, scale, ({"device": device},), (row,))
        for device, row in zip(("cpu", "cuda", "cpu"), rows, strict=True)
    ]

    whole = joined(parts, structures)

    assert whole.provenances == ({"device": "cpu"}, {"device": "cuda"})
    assert [row["made_by"] for row in whole.rows] == [0, 1, 0]


@pytest.mark.slow
@pytest.mark.potential
def test_a_shard_of_chgnet_s_is_relaxed_in_a_batch_with_its_magnetic_moments(tmp_path, out):
    shard = tmp_path / "in.parquet"
    salt = [Ordered(f"{side}", canary_crystal("NaCl", side)) for side in (5.5, 5.9)]
    write_shard(shard, order_on(load_judge("chgnet", threads=1)), salt)

    relax_shard(shard, out, lambda order: judge_for(order, threads=1))

    rows = read_results(out).rows
    relaxed = [relaxation_of(row, one.crystal, SETTINGS) for row, one in zip(rows, salt, strict=True)]
    assert [one.energy_per_atom for one in relaxed] == pytest.approx([-3.668] * 2, abs=0.005)
    assert all(one.magmoms.shape == (2,) for one in relaxed)
