"""Releases in the database: taken in once, whole and on one scale."""

import json

import pytest
from ase.build import bulk
from django.core.management import CommandError, call_command
from driving import cif, ordered_alloy, zipped

from hull.reference import DamagedRelease, read_release
from philately.domain.releases import import_release, release_of, scale_row
from philately.domain.runs import open_run
from philately.models import Release, ReleasePhase, Scale
from tests.releases import EMT_ELEMENTS, write_emt_release
from validation.crystal import Crystal
from validation.rules import Rules

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _data_dir(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"


def test_importing_twice_is_importing_once(emt_release_file):
    first, new = import_release(emt_release_file)
    again, new_again = import_release(emt_release_file)

    assert (new, new_again) == (True, False)
    assert first == again
    assert (Release.objects.count(), Scale.objects.count(), ReleasePhase.objects.count()) == (1, 1, 7)
    assert first.elements == sorted(EMT_ELEMENTS)


def test_a_release_comes_back_from_the_database_as_it_went_in(emt_release_file):
    row, _ = import_release(emt_release_file)
    found, expected = release_of(row), read_release(emt_release_file)

    assert (found.name, found.coverage, found.scale_digest) == (expected.name, expected.coverage, expected.scale_digest)
    for mine, theirs in zip(found.phases, expected.phases, strict=True):
        assert (mine.number, mine.formula, mine.energy_per_atom, mine.label) == (
            theirs.number,
            theirs.formula,
            theirs.energy_per_atom,
            theirs.label,
        )
        assert mine.species_at_sites == theirs.species_at_sites


@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "wrong checksum"])
def test_a_damaged_file_is_refused_and_leaves_nothing(emt_release_file, tmp_path, damage):
    data = bytearray(emt_release_file.read_bytes())
    if damage == "cut":
        data = data[:-100]
    elif damage == "flipped":
        data[len(data) // 2] ^= 255
    elif damage == "other":
        data = bytearray(b"not Parquet at all")
    file = tmp_path / "damaged.parquet"
    file.write_bytes(bytes(data))

    with pytest.raises(DamagedRelease):
        import_release(file, sha256="0" * 64 if damage == "wrong checksum" else None)

    assert not Release.objects.exists()
    assert not Scale.objects.exists()


def test_a_second_release_joins_the_scale_of_the_first(emt_release_file, tmp_path):
    first, _ = import_release(emt_release_file)
    second, _ = import_release(write_emt_release(tmp_path / "few.parquet", ("Au", "Cu")))

    assert second.scale == first.scale


def test_a_place_to_load_the_judge_from_that_is_given_later_replaces_the_first(emt_release_file):
    release, _ = import_release(emt_release_file)

    scale = scale_row(release.scale.identity, release.scale.digest, model="models/new")

    assert scale.pk == release.scale_id
    assert Scale.objects.get().model == "models/new"


def test_a_run_against_a_release_of_another_scale_is_refused(season):
    scale = Scale.objects.create(digest="f" * 64, name="other", judge="emt", identity={})
    foreign = Release.objects.get()
    foreign.scale = scale

    with pytest.raises(ValueError, match="another scale"):
        open_run(season, foreign, Rules())


def _import(path, *options):
    call_command("import_release", str(path), *options)


def test_a_folder_of_cifs_is_relaxed_by_the_judge_first(tmp_path, capsys):
    folder = tmp_path / "phases"
    (folder / "deeper").mkdir(parents=True)
    (folder / "Cu.cif").write_text(cif(bulk("Cu")))
    (folder / "deeper" / "Cu3Au.cif").write_text(cif(ordered_alloy("Cu", "Au", lattice_ang=3.7)))
    (folder / "bad.cif").write_text("hello")

    _import(folder, "--judge", "emt", "--coverage", "full", "--name", "mine")

    release = Release.objects.get()
    shown = capsys.readouterr()
    assert (release.name, release.coverage, release.n_phases, release.elements) == ("mine", "full", 2, ["Cu"])
    assert set(release.phases.values_list("formula", flat=True)) == {"Cu", "AuCu3"}
    assert release.scale.judge == "emt"
    assert "left out bad.cif: NOT_CIF" in shown.err
    assert "no elemental reference for Au" in shown.err


def test_an_archive_is_taken_like_a_folder(tmp_path):
    file = tmp_path / "phases.zip"
    file.write_bytes(zipped({"Cu.cif": cif(bulk("Cu")), "notes.txt": "hello"}))

    _import(file, "--judge", "emt")

    assert list(ReleasePhase.objects.values_list("formula", "label")) == [("Cu", "Cu.cif#Cu")]


def _structure(symbol):
    return Crystal.from_atoms(bulk(symbol)).to_structure()


@pytest.fixture
def pymatgen_entries():
    """Late: it loads corrections for 2.5 s, and every process of the tests would."""
    from pymatgen.entries import computed_entries

    return computed_entries


def test_pymatgen_entries_lend_their_structures_and_not_their_energies(pymatgen_entries, tmp_path):

    made = pymatgen_entries.ComputedStructureEntry
    entries = [made(_structure(symbol), -99.0, entry_id=f"mp-{symbol}") for symbol in ("Cu", "Au")]
    file = tmp_path / "entries.json"
    file.write_text(json.dumps([entry.as_dict() for entry in entries], default=str))

    _import(file, "--judge", "emt")

    rows = ReleasePhase.objects.order_by("number").values_list("label", "formula")
    assert list(rows) == [("mp-Cu", "Cu"), ("mp-Au", "Au")]
    assert not ReleasePhase.objects.filter(energy_per_atom__lt=-1).exists()


def test_entries_without_structures_are_refused_because_their_scale_is_another(pymatgen_entries, tmp_path):
    file = tmp_path / "entries.json"
    file.write_text(json.dumps([pymatgen_entries.ComputedEntry("Cu", -4.0).as_dict()]))

    with pytest.raises(CommandError, match=r"1 of the 1 entries have no structure.*another scale"):
        _import(file, "--judge", "emt")

    assert not Release.objects.exists()


@pytest.mark.parametrize(("name", "text", "sentence"), [("a.json", "{", "not JSON"), ("a.json", "3", "no list")])
def test_what_is_no_list_of_entries_is_refused(tmp_path, name, text, sentence):
    file = tmp_path / name
    file.write_text(text)

    with pytest.raises(CommandError, match=sentence):
        _import(file, "--judge", "emt")


def test_nothing_that_could_be_relaxed_is_refused(tmp_path):
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "bad.cif").write_text("hello")

    with pytest.raises(CommandError, match="none of its structures"):
        _import(tmp_path / "only", "--judge", "emt")


def test_a_release_of_the_judge_s_own_scale_is_taken_as_it_is(emt_release_file, capsys):
    _import(emt_release_file, "--judge", "emt")

    assert Release.objects.get().n_phases == 7
    assert "written to" not in capsys.readouterr().out


def test_without_a_judge_only_a_release_file_is_taken_and_the_hint_says_how(tmp_path):
    file = tmp_path / "phases.zip"
    file.write_bytes(zipped({"Cu.cif": cif(bulk("Cu"))}))

    with pytest.raises(CommandError, match="--judge"):
        _import(file)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for options in ([], ["--judge", "emt"]):
        with pytest.raises(CommandError, match=r"nothing\.parquet"):
            _import(tmp_path / "nothing.parquet", *options)
