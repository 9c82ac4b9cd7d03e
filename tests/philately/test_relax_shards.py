"""Structures relaxed on other machines: nothing is claimed, what comes back is a fact, and what is wrong is refused."""

import dataclasses

import pytest
from ase.build import bulk
from django.core.management import CommandError, call_command
from driving import ordered_alloy
from facts import add_candidate, bells

from philately.domain.judges import judge_of
from philately.domain.relax import relax_some
from philately.models import Candidate, RelaxationFact, RelaxedFingerprint, Scale
from philately.states import CandidateState
from validation.shard_files import read_results, read_shard, write_results
from validation.shards import judge_for, relax_shard

S = CandidateState
ALLOYS = [ordered_alloy("Cu", "Au", lattice_ang=3.7), ordered_alloy("Ni", "Al", lattice_ang=3.6), bulk("Pt")]


@pytest.fixture
def waiting(participant):
    """Three candidates, in order of arrival."""
    return [add_candidate(participant, atoms, state=S.PARSED) for atoms in ALLOYS]


@pytest.fixture
def export(season, tmp_path, capsys):
    """Runs the command; gives the shards that it wrote and what it said."""

    def run(*arguments, folder="shards"):
        call_command("export_shards", season.slug, str(tmp_path / folder), *map(str, arguments))
        return sorted((tmp_path / folder).glob("*.parquet")), capsys.readouterr().out

    return run


@pytest.fixture
def relaxed(export, waiting):
    """The file that came back of a shard with all three."""
    ((shard,), _) = export()
    out = shard.with_name("relaxed.parquet")
    relax_shard(shard, out)
    return out


@pytest.fixture
def take(capsys):
    def run(*arguments):
        call_command("import_shards", *map(str, arguments))
        return capsys.readouterr()

    return run


def _states(candidates):
    return list(Candidate.objects.filter(pk__in=[one.pk for one in candidates]).values_list("state", flat=True))


def test_shards_hold_what_waits_in_order_of_arrival_and_claim_nothing(waiting, export, season):
    shards, shown = export("--structures", 2)

    found = [read_shard(path) for path in shards]
    assert [path.name for path in shards] == ["practice-0001.parquet", "practice-0002.parquet"]
    assert [[one.id for one in shard.structures] for shard in found] == [
        [str(one.pk) for one in waiting[:2]],
        [str(waiting[2].pk)],
    ]
    assert {shard.order.scale_digest for shard in found} == {season.scale.digest}
    assert "2 shards, 3 structures, 9 atoms, for emt" in shown
    assert _states(waiting) == [S.PARSED] * 3


def test_the_front_may_be_left_to_the_season_and_the_rest_limited(waiting, export):
    ((shard,), _) = export("--skip", 1, "--limit", 1)

    assert [one.id for one in read_shard(shard).structures] == [str(waiting[1].pk)]


def test_a_structure_is_exported_once_and_never_when_it_is_relaxed_already(participant, waiting, export):
    add_candidate(participant, ALLOYS[0], state=S.PARSED)  # the same again
    relax_some(participant.season.scale_id)
    Candidate.objects.update(state=S.PARSED, relaxation=None)
    new = add_candidate(participant, bulk("Ag"), state=S.PARSED)
    add_candidate(participant, bulk("Ag"), state=S.PARSED)

    ((shard,), _) = export()

    assert [one.id for one in read_shard(shard).structures] == [str(new.pk)]


def test_where_nothing_waits_no_file_is_written_and_where_shards_are_none_is_overwritten(season, participant, export):
    assert export() == ([], "nothing waits to be relaxed in practice\n")

    add_candidate(participant, ALLOYS[0], state=S.PARSED)
    export()
    with pytest.raises(CommandError, match=r"has shards of practice already, such as practice-0001.parquet"):
        export()


def test_what_comes_back_becomes_facts_by_which_workers_move_on(
    waiting, relaxed, take, season, django_capture_on_commit_callbacks
):
    bells("relax")
    with django_capture_on_commit_callbacks(execute=True):
        shown = take(relaxed).out

    facts = {fact.initial_hash: fact for fact in RelaxationFact.objects.select_related("geometry")}
    assert "3 new, 0 known already, 0 refused, 0 without a relaxation" in shown
    assert facts.keys() == {one.content_hash for one in waiting}
    assert ("relax", season.scale_id) in bells("relax")
    assert RelaxedFingerprint.objects.filter(relaxation__in=[fact.pk for fact in facts.values()]).exists()
    assert facts[waiting[0].content_hash].space_group_number == 221
    assert facts[waiting[0].content_hash].provenance["shard"] == "practice-0001"

    assert relax_some(season.scale_id)
    assert _states(waiting) == [S.RELAXED] * 3
    assert {one.relaxation_id for one in Candidate.objects.all()} == {fact.pk for fact in facts.values()}


def test_the_facts_are_those_that_the_season_s_own_workers_make(waiting, relaxed, take, season):
    take(relaxed)
    columns = ("initial_hash", "stopped", "steps", "energy_per_atom", "rmsd_ang", "volume_change", "prototype_label")
    there = list(RelaxationFact.objects.order_by("initial_hash").values_list(*columns))
    geometry = list(RelaxationFact.objects.order_by("initial_hash").values_list("geometry__crystal", flat=True))
    RelaxationFact.objects.all().delete()

    relax_some(season.scale_id)

    assert list(RelaxationFact.objects.order_by("initial_hash").values_list(*columns)) == [
        pytest.approx(row, abs=1e-9) for row in there
    ]
    here = RelaxationFact.objects.order_by("initial_hash").values_list("geometry__crystal", flat=True)
    assert [len(blob) for blob in here] == [len(blob) for blob in geometry]


def test_a_relaxation_counts_for_who_submitted_its_structure_first(waiting, relaxed, take, join_as):
    first = Candidate.objects.order_by("pk").first()
    later = add_candidate(join_as("bob"), ALLOYS[0], state=S.PARKED, twin_of=first)
    assert later.content_hash == first.content_hash

    take(relaxed)

    assert RelaxationFact.objects.get(initial_hash=first.content_hash).made_for == first.batch


def test_a_file_may_be_taken_in_again_and_its_facts_stay(waiting, relaxed, take):
    take(relaxed)
    before = list(RelaxationFact.objects.order_by("pk").values())

    shown = take(relaxed).out

    assert "0 new, 3 known already" in shown
    assert list(RelaxationFact.objects.order_by("pk").values()) == before


def test_whoever_is_faster_the_first_fact_stands(waiting, relaxed, take, season):
    relax_some(season.scale_id)
    own = list(RelaxationFact.objects.order_by("pk").values())

    assert "0 new, 3 known already" in take(relaxed).out
    assert list(RelaxationFact.objects.order_by("pk").values()) == own
    assert _states(waiting) == [S.RELAXED] * 3


def _changed(path, change=lambda row: {}, **parts):
    """The file with the first row changed, or other metadata."""
    results = read_results(path)
    rows = ({**results.rows[0], **change(results.rows[0])}, *results.rows[1:])
    out = path.with_name("changed.parquet")
    write_results(out, dataclasses.replace(results, **{"rows": rows, **parts}))
    return out


def test_a_row_that_cannot_be_is_refused_with_its_reason_and_the_others_are_taken(waiting, relaxed, take):
    shown = take(_changed(relaxed, lambda row: {"energy_per_atom": row["energy_per_atom"] - 0.1}))

    assert "2 new, 0 known already, 1 refused" in shown.out
    assert f"refused: {waiting[0].pk}: its history ends elsewhere" in shown.err
    assert not RelaxationFact.objects.filter(initial_hash=waiting[0].content_hash).exists()


def test_a_structure_that_nobody_submitted_here_is_refused(waiting, relaxed, take):
    shown = take(_changed(relaxed, lambda row: {"initial_hash": "0" * 64}))

    assert f"refused: {waiting[0].pk}: no structure here starts like it" in shown.err
    assert RelaxationFact.objects.count() == 2


def test_what_was_not_relaxed_there_is_left_to_the_season(waiting, relaxed, take, season):
    kept = ("id", "made_by", "formula", "n_atoms", "initial_hash")
    without = {"error": "TimeLimitExceeded: not finished"}
    shown = take(_changed(relaxed, lambda row: {name: None for name in row if name not in kept} | without))

    assert "2 new, 0 known already, 0 refused, 1 without a relaxation" in shown.out
    assert f"without a relaxation: {waiting[0].pk}: TimeLimitExceeded: not finished" in shown.err

    while relax_some(season.scale_id):
        pass
    assert _states(waiting) == [S.RELAXED] * 3


def _refused(take, capsys, *arguments):
    with pytest.raises(CommandError, match="1 of 1 files were refused"):
        take(*arguments)
    assert not RelaxationFact.objects.exists()
    return capsys.readouterr().err


def test_a_file_of_another_scale_is_refused(waiting, relaxed, take, capsys):
    scale = {**read_results(relaxed).scale, "dtype": "float32"}

    told = _refused(take, capsys, _changed(relaxed, scale=scale))

    assert "no season here is judged on its scale" in told


def test_a_file_whose_judge_did_not_pass_its_canary_is_refused(waiting, relaxed, take, capsys):
    (provenance,) = read_results(relaxed).provenances
    off = {**provenance, "canary": {**provenance["canary"], "Cu": {"lattice_ang": 3.7, "energy_per_atom": -0.007}}}

    told = _refused(take, capsys, _changed(relaxed, provenances=(off,)))

    assert "expected a = 3.590 Å, found 3.700 Å" in told


def test_what_is_no_relaxed_shard_is_refused_and_the_others_are_taken(waiting, relaxed, take, capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")

    with pytest.raises(CommandError, match="2 of 3 files were refused"):
        take(tmp_path / "notes.txt", relaxed, tmp_path / "missing.parquet")

    assert "notes.txt is no relaxed shard" in capsys.readouterr().err
    assert RelaxationFact.objects.count() == 3


def test_some_are_relaxed_again_here_and_must_agree(waiting, relaxed, take, season):
    shown = take(relaxed, "--verify", 2).out

    assert "3 new" in shown
    assert shown.count("eV/atom there") == 2


def test_where_one_ends_elsewhere_here_nothing_of_the_file_is_taken(waiting, relaxed, take, capsys, season):
    """Relaxations that are consistent in themselves, by a judge whose energies went off after its canary."""
    results = read_results(relaxed)
    judge = judge_for(read_shard(relaxed.with_name("practice-0001.parquet")).order)

    class Off:
        def __getattr__(self, name):
            return getattr(judge.judge.calculator, name)

        def get_potential_energy(self, atoms, **options):
            return judge.judge.calculator.get_potential_energy(atoms, **options) + 0.003 * len(atoms)

    off = dataclasses.replace(judge, judge=dataclasses.replace(judge.judge, calculator=Off()))
    out = relaxed.with_name("off.parquet")
    relax_shard(relaxed.with_name("practice-0001.parquet"), out, lambda order: off)
    assert judge_of(season.scale_id)[1].passed

    told = _refused(take, capsys, out, "--verify", 3)

    assert told.count(" eV/atom") == len(results.rows)
    assert "relaxed again here" in told


def test_while_the_judge_is_refused_here_nothing_can_be_verified(waiting, relaxed, take, capsys):
    judge_of.cache_clear()
    Scale.objects.update(judge="no such judge")
    try:
        told = _refused(take, capsys, relaxed, "--verify", 1)
    finally:
        judge_of.cache_clear()

    assert "nothing can be relaxed again here: there is no judge 'no such judge'" in told
