"""Mutated files and archives: a crystal or a sentence comes out, twice the same, and nothing else.

By hypothesis, for a bounded number of cases; the slow tests go on for a bounded time with seeds of their own.
"""

import gzip
import io
import json
import random
import re
import time
import warnings
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifParser, CifWriter

from tests.validation.hostile_archives import tarred, zipped
from tests.validation.validation_crystals import ELEMENTS, prototypes
from validation.acceptance import accept_initial
from validation.archive import ArchiveRefused
from validation.blocks import Format
from validation.crystal import Crystal
from validation.members import UploadLimits
from validation.reading import read_structure
from validation.rules import Rejected, Rules
from validation.uploads import structures_of

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RULES = Rules()
LIMITS = UploadLimits(max_member_bytes=1 << 20, max_decompressed_bytes=1 << 22)
SLOW_S = 120.0
_TOKEN = re.compile(r"\s+|[^\s]+")
_SPLICED = (
    *("nan", "inf", "-1", "0", "1e308", "0x1", "1,5", "?", ".", "'", '"', ";", "\n;", "\n;\n", "#", "loop_", "data_x"),
    *("save_a", "save_", "\0", "é", "\ufeff", "D", "X", "Na+", "0.333", "1(2)", "stop_", "global_", "[", "{", "}", "]"),
    *("null", "true", '"abc"', "Lattice=", "_atom_site_fract_x", "_cell_length_a", "x,y,z", "'F m -3 m'", "225"),
)
_LETTERS = "\0\t\n\r\"'-.09_é"


@cache
def originals() -> tuple[tuple[str, Format], ...]:
    """Texts of this project's own: prototypes in each format, with symmetry and without, and the examples."""
    texts = []
    for structure in prototypes().values():
        atoms = AseAtomsAdaptor.get_atoms(structure)
        frame = io.StringIO()
        atoms.write(frame, format="extxyz")
        texts += [
            (str(CifWriter(structure)), Format.CIF),
            (str(CifWriter(structure, symprec=0.01)), Format.CIF),
            (frame.getvalue(), Format.EXTXYZ),
            (json.dumps(structure.as_dict()), Format.JSON),
        ]
    for file in sorted(EXAMPLES.glob("*.zip")):
        with zipfile.ZipFile(file) as archive:
            texts += [(archive.read(name).decode(), Format.CIF) for name in archive.namelist()[::9] if "." in name]
    return tuple(texts)


def mutated(text: str, chance: random.Random) -> str:
    """A few tokens replaced, removed, repeated or moved, or a piece of another file put in."""
    tokens = _TOKEN.findall(text)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randrange(len(tokens))
        match chance.randrange(6):
            case 0:
                tokens[at] = chance.choice(_SPLICED)
            case 1:
                del tokens[at : at + chance.choice((1, 1, 2, 20))]
            case 2:
                tokens[at:at] = tokens[at : at + chance.choice((1, 2, 40))] * chance.choice((1, 2, 50))
            case 3:
                other = chance.randrange(len(tokens))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 4:
                piece = _TOKEN.findall(chance.choice(originals())[0])
                begin = chance.randrange(len(piece))
                tokens[at:at] = piece[begin : begin + chance.randrange(60)]
            case _:
                letters = list(tokens[at])
                letters[chance.randrange(len(letters))] = chance.choice(_LETTERS)
                tokens[at] = "".join(letters)
        tokens = tokens or [" "]
    return "".join(tokens)


def outcome(text: str, format: Format, read=read_structure) -> str:
    """What reading gives, as text; anything that is neither a whole crystal nor a sentence fails."""
    try:
        crystal = read(text, RULES, format=format)
    except Rejected as refusal:
        assert refusal.detail.isprintable()
        assert len(refusal.detail) < 2000
        return str(refusal)
    _is_whole(crystal)
    return crystal.content_hash


def _is_whole(crystal: Crystal) -> None:
    assert np.isfinite(crystal.lattice).all()
    assert crystal.volume > 0
    assert len(crystal) > 0
    assert ((crystal.frac_coords >= 0) & (crystal.frac_coords < 1)).all()
    assert len(crystal.numbers) == len(crystal.frac_coords)
    assert set(crystal.symbols) <= set(crystal.formula.elements)


def _checked(text: str, rules: Rules, *, format: Format) -> Crystal:
    return accept_initial(text, rules, ELEMENTS, format=format)


def check_text(seed: int) -> None:
    chance = random.Random(seed)
    text, format = chance.choice(originals())
    text = mutated(text, chance)

    first = outcome(text, format)

    assert first == outcome(text, format)
    outcome(text, format, _checked)
    _agrees_with_pymatgen(text, format)


def _agrees_with_pymatgen(text: str, format: Format) -> None:
    """The composition of what both read, unless pymatgen says that it mended or guessed something."""
    if format is not Format.CIF:
        return
    try:
        crystal = read_structure(text, RULES)
    except Rejected:
        return
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            structure = CifParser.from_str(text).parse_structures(primitive=False)[0]
        except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, AssertionError):
            return  # what it raises for what it cannot read
    if any(warning.category is UserWarning and "rounded" not in str(warning.message) for warning in told):
        return
    if structure.is_ordered:
        theirs = structure.composition.element_composition.as_dict()
        assert crystal.formula.elements == tuple(sorted(theirs)) or "D" in text, text
        assert len(crystal) == len(structure), text


def check_archive(seed: int) -> None:
    """Bits flipped, the end cut off, pieces of one archive in another."""
    chance = random.Random(seed)
    members = [(f"{n}.cif", chance.choice(originals())[0].encode()) for n in range(3)]
    packs = (zipped, tarred, lambda *m: gzip.compress(tarred(*m)))
    data = bytearray(chance.choice(packs)(*members))
    for _ in range(chance.choice((1, 1, 4, 30))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    if chance.random() < 0.3:
        del data[chance.randrange(len(data)) :]
    if chance.random() < 0.3:
        at = chance.randrange(len(data) + 1)
        data[at:at] = chance.choice(packs)(*members[:1])[: chance.randrange(600)]

    assert _listed(bytes(data)) == _listed(bytes(data))


def _listed(data: bytes) -> list[str]:
    found = []
    try:
        for one in structures_of(io.BytesIO(data), "upload", LIMITS):
            assert (one.block is None) != (one.problem is None)
            assert one.file.isprintable()
            found.append(str(one.problem) if one.block is None else outcome(one.block.text, one.block.format))
    except ArchiveRefused as refusal:
        assert str(refusal).endswith(".")
        return [*found, str(refusal)]
    return found


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_a_mutated_file_gives_a_crystal_or_a_sentence_twice_the_same(seed):
    check_text(seed)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_a_mutated_archive_gives_members_or_a_refusal_twice_the_same(seed):
    check_archive(seed)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_text, check_archive])
def test_mutations_for_a_bounded_time(check):
    seeds, end = random.Random(4), time.monotonic() + SLOW_S / 2
    while time.monotonic() < end:
        seed = seeds.getrandbits(48)
        try:
            check(seed)
        except Exception as error:
            error.add_note(f"of {check.__name__}({seed})")
            raise
