"""Hostile and damaged uploads: each kind ends within its limits, with its own reason, and costs only itself."""

import io
import resource
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

import pytest

from tests.validation.hostile_archives import archive_kinds, tarred, zipped
from tests.validation.hostile_texts import many_blocks, text_kinds
from tests.validation.validation_crystals import ELEMENTS, cif_text
from validation.answers import Text
from validation.archive import ArchiveRefused, UploadLimits
from validation.readers import Readers
from validation.rules import Reason, Rules
from validation.seats import ReadingLimits
from validation.uploads import structures_of

warnings.filterwarnings("ignore", "Duplicate name")
KNOWN = ELEMENTS | {"He", "K"}
LIMITS = ReadingLimits(time_s=5.0, memory_bytes=1 << 30)  # of a text
UPLOAD_LIMIT_S = 20.0  # of CPU time, to take one apart
UPLOAD_LIMIT_BYTES = 32 << 20
TEXTS = {kind.name: kind for kind in text_kinds()}
ARCHIVES = {kind.name: kind for kind in [*archive_kinds(), many_blocks(20_000)]}
KINDS = TEXTS | ARCHIVES


@pytest.fixture(scope="module")
def readers():
    with Readers(Rules(), KNOWN, limits=LIMITS) as made:
        yield made


def verdicts_of(found, readers):
    """Formula, or reason and sentence, of each structure in the upload's order."""
    texts = [Text(one.block.text, one.block.line, one.block.format) for one in found if one.block is not None]
    reads = readers.read(texts)
    return [_verdict(one.problem if one.block is None else next(reads)) for one in found]


def _verdict(read):
    crystal, rejection = getattr(read, "crystal", None), getattr(read, "rejection", read)
    return (str(crystal.formula), "") if crystal else (rejection.reason, rejection.detail)


def taken_apart(kind):
    return list(structures_of(io.BytesIO(kind.make()), kind.file, kind.limits, clock=time.monotonic))


def test_there_are_many_kinds():
    assert len(KINDS) == len(text_kinds()) + len(archive_kinds()) + 1 > 200


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.refused])
def test_each_structure_has_its_own_verdict(name, readers):
    kind = KINDS[name]

    found = verdicts_of(taken_apart(kind), readers)

    assert [verdict for verdict, _ in found] == list(kind.verdicts)
    assert any(kind.words in sentence for _, sentence in found)
    assert all(sentence.isprintable() and sentence.endswith(".") for verdict, sentence in found if sentence)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.refused])
def test_what_is_refused_as_a_whole_is_told_why(name):
    kind = KINDS[name]

    with pytest.raises(ArchiveRefused) as refusal:
        taken_apart(kind)

    assert kind.refused in str(refusal.value)
    assert str(refusal.value).isprintable()


def test_no_upload_takes_long_or_much_memory_to_be_taken_apart():
    for kind in KINDS.values():
        stream, begun = io.BytesIO(kind.make()), time.process_time()
        tracemalloc.start()
        try:
            for found in structures_of(stream, kind.file, kind.limits, clock=time.monotonic):
                del found
        except ArchiveRefused:
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert time.process_time() - begun < UPLOAD_LIMIT_S, kind.name
        assert peak < UPLOAD_LIMIT_BYTES, kind.name


@pytest.mark.parametrize(("suffix", "pack"), [("zip", zipped), ("tar", tarred)])
def test_neighbours_in_one_archive_keep_their_verdicts(suffix, pack, readers):
    good = cif_text().encode()
    members = []
    for number, kind in enumerate(TEXTS.values()):
        members += [(f"{number}/{kind.file}", kind.make()), (f"{number}/good.cif", good)]

    found = list(structures_of(io.BytesIO(pack(*members)), f"all.{suffix}", UploadLimits()))
    verdicts = [verdict for verdict, _ in verdicts_of(found, readers)]

    expected = [verdict for kind in TEXTS.values() for verdict in (*kind.verdicts, "ClNa")]
    assert verdicts == expected
    assert len(set(expected)) > 12


def test_nothing_is_left_behind():
    files = _temporary_files()
    open_files = _n_open_files()
    with Readers(Rules(), KNOWN, limits=LIMITS) as own:
        for name in ("fields without end", "50,000 atoms", "lists of lists", "NUL within", "keys"):
            verdicts_of(taken_apart(TEXTS[name]), own)
        pids = own.pids()

    assert pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert _n_open_files() == open_files
    assert not {file for file in _temporary_files() - files if file.name.startswith("tmp")}


def _temporary_files():
    return set(Path(tempfile.gettempdir()).iterdir())


def _n_open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.slow
def test_a_hundred_thousand_blocks_without_sites_are_a_hundred_thousand_verdicts(readers):
    kind = many_blocks(100_000)
    found = structures_of(io.BytesIO(kind.make()), kind.file, UploadLimits())

    reads = readers.read(Text(one.block.text, one.block.line) for one in found)

    assert {read.rejection.reason for read in reads} == {Reason.BAD_CELL}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2 << 20  # kilobytes
