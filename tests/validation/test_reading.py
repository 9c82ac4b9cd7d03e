"""Extended XYZ and JSON, read by ourselves: compared with what ASE and pymatgen wrote, and refused with a sentence."""

import io
import json

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from validation.acceptance import accept_initial
from validation.blocks import Format
from validation.crystal import Crystal
from validation.reading import read_structure
from validation.rules import Reason, Rejected, Rules

RULES = Rules()
NACL = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
LOW = Atoms("SiO", positions=[[0.1, 0.2, 0.3], [1.9, 1.7, 1.6]], cell=[[3, 0.2, 0.1], [-0.3, 3.5, 0.2], [0.1, 0.9, 4]])
LEFT = Atoms("SiO", positions=[[0.1, 0.2, 0.3], [1.9, 1.7, 1.6]], cell=[[0.2, 3, 0.1], [3.5, -0.3, 0.2], [0.9, 0.1, 4]])
CRYSTALS = pytest.mark.parametrize("atoms", [NACL, LOW, LEFT], ids=["cubic", "triclinic", "left-handed"])


def periodic(atoms):
    atoms = atoms.copy()
    atoms.pbc = True
    return atoms


def frame(atoms):
    out = io.StringIO()
    ase.io.write(out, periodic(atoms), format="extxyz")
    return out.getvalue()


def structure(atoms):
    return Structure(Lattice(atoms.cell.array), atoms.get_chemical_symbols(), atoms.get_scaled_positions())


def document(atoms, **changes):
    return {**structure(atoms).as_dict(), **changes}


def written(atoms, format):
    return {
        Format.CIF: lambda: structure(atoms).to(fmt="cif"),
        Format.EXTXYZ: lambda: frame(atoms),
        Format.JSON: lambda: json.dumps(document(atoms)),
    }[format]()


def rejection(text, format, rules=RULES, **options):
    with pytest.raises(Rejected) as caught:
        read_structure(text, rules, format=format, **options)
    return caught.value


@CRYSTALS
@pytest.mark.parametrize("format", [Format.EXTXYZ, Format.JSON])
def test_the_crystal_is_the_one_that_was_written(atoms, format):
    crystal = read_structure(written(atoms, format), RULES, format=format)

    assert crystal.symbols == tuple(atoms.get_chemical_symbols())
    assert crystal.volume == pytest.approx(atoms.get_volume(), rel=1e-6)
    assert np.allclose(crystal.to_atoms().get_all_distances(mic=True), periodic(atoms).get_all_distances(mic=True))
    assert np.linalg.det(crystal.lattice) > 0
    assert np.allclose(crystal.lattice[np.triu_indices(3, 1)], 0, atol=1e-9)


def test_a_left_handed_cell_is_turned_and_not_mirrored():
    rng = np.random.default_rng(4)
    chiral = Atoms("SiOCN", cell=LEFT.cell, scaled_positions=rng.random((4, 3)))

    crystal = read_structure(frame(chiral), RULES, format=Format.EXTXYZ)

    turn = np.linalg.inv(-chiral.cell.array) @ crystal.lattice
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.linalg.det(turn) == pytest.approx(1.0)
    whole_cells = crystal.frac_coords + chiral.get_scaled_positions()
    assert np.allclose(whole_cells, np.round(whole_cells), atol=1e-6)


def test_the_same_crystal_has_the_same_content_in_every_format():
    hashes = {read_structure(written(NACL, format), RULES, format=format).content_hash for format in Format}

    assert len(hashes) == 1


@CRYSTALS
def test_every_format_gives_what_the_matcher_calls_the_same(atoms):
    first, *others = [read_structure(written(atoms, format), RULES, format=format).to_structure() for format in Format]

    assert all(StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.1, scale=False).fit(first, other) for other in others)


def test_phase_1_reads_every_format():
    known = frozenset({"Na", "Cl"})
    sizes = {len(accept_initial(written(NACL, format), RULES, known, format=format)) for format in Format}

    assert sizes == {2}


@pytest.mark.parametrize("symbol", ["D", "Fe3+", "FE", "O2-"])
def test_oxidation_states_and_isotopes_are_the_element(symbol):
    text = f'1\nLattice="4 0 0 0 4 0 0 0 4"\n{symbol} 0 0 0\n'

    crystal = read_structure(text, RULES, format=Format.EXTXYZ)

    assert crystal.symbols[0] in {"H", "Fe", "O"}


def test_oxidation_states_of_pymatgen_are_stripped():
    decorated = structure(NACL).add_oxidation_state_by_element({"Na": 1, "Cl": -1})

    crystal = read_structure(json.dumps(decorated.as_dict()), RULES, format=Format.JSON)

    assert set(crystal.symbols) == {"Na", "Cl"}


def test_more_columns_and_keys_are_passed_over():
    text = (
        '2\nenergy=-1.5 name="a = {b" Properties=id:I:1:species:S:1:pos:R:3:forces:R:3 stress=[[1, 0], [0, 1]] flag '
        'lattice="4 0 0 0 4 0 0 0 4" pbc="T T T"\n1 Na 0 0 0 .1 .2 .3\n2 Cl 2 2 2 .1 .2 .3\n'
    )

    crystal = read_structure(text, RULES, format=Format.EXTXYZ)

    assert str(crystal.formula) == "ClNa"


CELL = 'Lattice="4 0 0 0 4 0 0 0 4"'


@pytest.mark.parametrize(
    ("text", "reason", "sentence"),
    [
        ("", Reason.UNREADABLE, "line 5 is '' where a frame begins with its number of atoms"),
        ("two\n", Reason.UNREADABLE, "line 5 is 'two'"),
        (f"0\n{CELL}\n", Reason.NO_ATOMS, "announces 0 atoms"),
        (f"401\n{CELL}\n", Reason.TOO_MANY_ATOMS, "401 sites are listed; at most 400"),
        (f"2\n{CELL}\nNa 0 0 0\n", Reason.UNREADABLE, "line 5 announces 2 atoms, and 1 lines"),
        ("1\n\nNa 0 0 0\n", Reason.BAD_CELL, "line 6 has no Lattice"),
        ('1\nLattice="4 0 0 0 4 0"\nNa 0 0 0\n', Reason.BAD_CELL, "it must be 9 numbers"),
        ('1\nLattice="4 0 0 0 4 0 0 0 nan"\nNa 0 0 0\n', Reason.BAD_CELL, "it must be 9 numbers"),
        ('1\nLattice="4 0 0 0 4 0 0 0 1e308"\nNa 0 0 0\n', Reason.BAD_CELL, "c is 1e+308 Å long"),
        ('1\nLattice="4 0 0 0 4 0 0 0 4_0"\nNa 0 0 0\n', Reason.BAD_CELL, "it must be 9 numbers"),
        ('1\nLattice="4 0 0 4 0 0 0 0 4"\nNa 0 0 0\n', Reason.BAD_CELL, "the cell is flat"),
        ('1\nLattice="4 0 0 0 0.1 0 0 0 4"\nNa 0 0 0\n', Reason.BAD_CELL, "b is 0.1 Å long; it must be from 0.5"),
        (f'1\n{CELL} pbc="T T F"\nNa 0 0 0\n', Reason.BAD_CELL, "periodic in all three directions"),
        (f'1\n{CELL} pbc="yes"\nNa 0 0 0\n', Reason.BAD_CELL, "pbc is 'yes'"),
        (f"1\n{CELL} {CELL}\nNa 0 0 0\n", Reason.UNREADABLE, "line 6 gives Lattice twice"),
        ('1\nLattice="4 0 0\nNa 0 0 0\n', Reason.UNREADABLE, 'the " after Lattice= is not closed'),
        (f"1\n{CELL} Properties=species:S:1\nNa\n", Reason.UNREADABLE, "has no species:S:1 and pos:R:3"),
        (f"1\n{CELL} Properties=species:S:x:pos:R:3\nNa 0 0 0\n", Reason.UNREADABLE, "must read like"),
        (f"1\n{CELL} Properties=species:S:1:pos:R\nNa 0 0 0\n", Reason.UNREADABLE, "must read like"),
        (f"1\n{CELL}\nNa 0 0\n", Reason.UNREADABLE, "line 7 has 3 columns where Properties announces 4"),
        (f"1\n{CELL}\nXx 0 0 0\n", Reason.UNKNOWN_ELEMENT, "line 7 is of 'Xx'"),
        (f"2\n{CELL}\nNa 0 0 0\nCl 2 2 inf\n", Reason.BAD_COORDINATES, "line 8 (Cl) has the position 2 2 inf"),
        (f"1\n{CELL}\nNa 0 0 1e308\n", Reason.BAD_COORDINATES, "line 7 (Na) has the fractional coordinates"),
        (f"2\n{CELL}\nNa 0 0 0\nCl 4 0 0\n", Reason.DISORDERED, "share one place"),
        (
            f"1\n{CELL} Properties=species:S:1:pos:R:3:occupancy:R:1\nNa 0 0 0 .5\n",
            Reason.DISORDERED,
            "line 7 (Na) has occupancy 0.5",
        ),
    ],
)
def test_a_frame_is_refused_with_the_line_that_is_wrong(text, reason, sentence):
    refusal = rejection(text, Format.EXTXYZ, first_line=5)

    assert refusal.reason is reason
    assert sentence in refusal.detail


def sites(**changes):
    """One site of NaCl changed."""
    return [{**document(NACL)["sites"][0], **changes}, *document(NACL)["sites"][1:]]


@pytest.mark.parametrize(
    ("text", "reason", "sentence"),
    [
        ("", Reason.UNREADABLE, "line 5 is no valid JSON"),
        ('{\n"lattice": }', Reason.UNREADABLE, "line 6 is no valid JSON: Expecting value at column 12"),
        ("[" * 100_000, Reason.UNREADABLE, "nested too deeply"),
        ("[]", Reason.UNREADABLE, "no object with a lattice and sites"),
        ('{"a": 1, "a": 2}', Reason.UNREADABLE, "'a' twice"),
        ('{"a": ' + "9" * 5000 + "}", Reason.UNREADABLE, "a number that cannot be read"),
        (json.dumps({"@class": "Molecule", "sites": []}), Reason.UNREADABLE, "its @class is 'Molecule'"),
        (json.dumps({"lattice": {}}), Reason.UNREADABLE, "no list of sites"),
        (json.dumps(document(NACL, sites=[])), Reason.NO_ATOMS, "lists no sites"),
        (json.dumps(document(NACL, sites=[{}] * 401)), Reason.TOO_MANY_ATOMS, "401 sites are listed; at most 400"),
        (json.dumps(document(NACL, lattice={"matrix": [[1, 2]]})), Reason.BAD_CELL, "no matrix of 3 × 3 numbers"),
        (
            json.dumps(document(NACL, lattice={"matrix": [[4, 0, 0], [0, 4, 0], [0, 0, "x"]]})),
            Reason.BAD_CELL,
            "9 numb",
        ),
        (
            json.dumps(document(NACL, lattice={"matrix": [[4, 0, 0], [0, 4, 0], [0, 0, 10**400]]})),
            Reason.BAD_CELL,
            "9 n",
        ),
        (
            json.dumps(document(NACL, lattice={"matrix": np.eye(3).tolist(), "pbc": [True, True, False]})),
            Reason.BAD_CELL,
            "pbc is not true in all three directions",
        ),
        (json.dumps(document(NACL, sites=sites(species=[]))), Reason.DISORDERED, "site 1 has 0 species"),
        (json.dumps(document(NACL, sites=sites(species="Na"))), Reason.UNREADABLE, "site 1 has no list of species"),
        (
            json.dumps(document(NACL, sites=sites(species=[{"element": "Na", "occu": 0.5}]))),
            Reason.DISORDERED,
            "site 1 (Na) has occupancy 0.5",
        ),
        (
            json.dumps(document(NACL, sites=sites(species=[{"element": "Xx", "occu": 1}]))),
            Reason.UNKNOWN_ELEMENT,
            "site 1 is of 'Xx'",
        ),
        (json.dumps(document(NACL, sites=sites(abc=[0, 0]))), Reason.BAD_COORDINATES, "site 1 (Na) has no 'abc'"),
        (json.dumps(document(NACL, sites=sites(abc=[0, 0, float("nan")]))), Reason.BAD_COORDINATES, "site 1 (Na) has"),
        (json.dumps(document(NACL, sites=sites(abc=[0, 0, True]))), Reason.BAD_COORDINATES, "site 1 (Na) has"),
        (json.dumps(document(NACL, sites=sites(abc=[0, 0, 1e308]))), Reason.BAD_COORDINATES, "from -1000 to 1000"),
        (
            json.dumps(document(NACL, sites=sites(abc=document(NACL)["sites"][1]["abc"]))),
            Reason.DISORDERED,
            "share one",
        ),
    ],
)
def test_an_object_is_refused_with_the_site_that_is_wrong(text, reason, sentence):
    refusal = rejection(text, Format.JSON, first_line=5)

    assert refusal.reason is reason
    assert sentence in refusal.detail


@pytest.mark.parametrize("format", list(Format))
def test_a_text_above_the_limit_is_not_read(format):
    refusal = rejection("x" * 101, format, Rules(max_text_bytes=100))

    assert refusal.reason is Reason.TOO_LARGE
    assert "101 bytes; at most 100" in refusal.detail


TEXTS = st.sampled_from([(frame(LOW), Format.EXTXYZ), (json.dumps(document(LOW)), Format.JSON)])


@given(
    TEXTS, st.integers(0, 3000), st.sampled_from(['"', "\\", "]", "{", "9", "-", "e", " ", "\n", "", "nan", "\0", "é"])
)
def test_one_change_gives_a_crystal_or_a_sentence_and_nothing_else(case, position, letter):
    text, format = case
    at = position % len(text)

    try:
        crystal = read_structure(text[:at] + letter + text[at + 1 :], RULES, format=format)
    except Rejected as refusal:
        assert refusal.detail.endswith(".")
    else:
        assert isinstance(crystal, Crystal)
        assert np.isfinite(crystal.frac_coords).all()
