"""Texts from strangers are read where they can do no harm: each ends within its limit and costs only itself."""

import os
import signal
import subprocess
import sys
import time
import zipfile
from itertools import count, islice
from pathlib import Path

import pytest
from pymatgen.io.cif import CifWriter

from tests.validation.validation_crystals import ELEMENTS, prototypes
from validation.acceptance import accept_initial
from validation.answers import Text
from validation.blocks import split_file
from validation.readers import Readers
from validation.rules import Reason, Rejected, Rules
from validation.seats import CannotRead, ReadingLimits

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(os.environ.get("CIF_CORPUS", ROOT.parent / "shared" / "corpus" / "mp.zip"))
MB = 1 << 20


@pytest.fixture(scope="module")
def texts():
    """Some that are accepted and some that are not."""
    good = [str(CifWriter(structure)) for structure in prototypes().values()]
    return [text for one in good for text in (one, one.replace("_cell_length_a", "_cell_length_x"))]


@pytest.fixture
def hostile(monkeypatch):
    """Makes readers whose children do what a text's first line says."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    made = []

    def readers(*, n_children=1, time_s=30.0, memory_bytes=2048 * MB):
        limits = ReadingLimits(time_s=time_s, memory_bytes=memory_bytes)
        made.append(Readers(Rules(), ELEMENTS, n_children=n_children, limits=limits, program="hostile_child"))
        return made[-1]

    yield readers
    for each in made:
        each.close()


def serially(texts, rules=Rules(), known=ELEMENTS, first_line=1):  # noqa: B008 - frozen
    for text in texts:
        try:
            yield accept_initial(text, rules, known, first_line=first_line).content_hash
        except Rejected as rejection:
            yield str(rejection)


def shown(reads):
    return [read.crystal.content_hash if read.crystal else str(read.rejection or read.fault) for read in reads]


def is_alive(pid):
    """A zombie that nobody has waited for yet is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize("n_children", [1, 2])
def test_results_and_their_order_are_those_of_reading_one_after_the_other(texts, n_children):
    with Readers(Rules(), ELEMENTS, n_children=n_children) as readers:
        found = shown(readers.read(Text(text) for text in texts))

    expected = list(serially(texts))
    assert found == expected
    assert len(set(expected)) > 10


@pytest.mark.skipif(not CORPUS.exists(), reason=f"the corpus {CORPUS} is not beside this checkout")
def test_real_files_are_read_as_they_are_one_after_the_other():
    with zipfile.ZipFile(CORPUS) as archive:
        names = [name for name in archive.namelist() if name.endswith(".cif")][::12]
        texts = [block.text for name in names for block in split_file(archive.read(name), name)]

    with Readers(Rules(), ELEMENTS, n_children=2) as readers:
        found = list(readers.read(Text(text) for text in texts))

    assert len(found) > 100
    assert shown(found) == list(serially(texts))


def test_a_crystal_arrives_exact_to_the_last_bit(texts):
    with Readers(Rules(), ELEMENTS) as readers:
        (read,) = readers.read([Text(texts[0])])

    assert read.crystal.pack() == accept_initial(texts[0], Rules(), ELEMENTS).pack()


def test_lines_are_counted_in_the_file_and_bytes_are_utf_8(texts):
    broken = texts[0].replace("_cell_length_a ", "_cell_length_a 1 1 ")
    with Readers(Rules(), ELEMENTS) as readers:
        found = list(readers.read([Text(broken, 1000), Text("data_é\n".encode()), Text(b"data_\xff")]))

    assert shown(found[:1]) == list(serially([broken], first_line=1000))
    assert found[1].rejection.reason == Reason.BAD_CELL
    assert found[2].fault.kind == "UnicodeDecodeError"


def test_rules_and_elements_may_change_from_call_to_call_without_a_new_child(texts):
    small = Rules(max_atoms=2)
    with Readers(Rules(), ELEMENTS) as readers:
        first = shown(readers.read(map(Text, texts)))
        pids = readers.pids()
        second = shown(readers.read(map(Text, texts), rules=small, known_elements=ELEMENTS - {"Cl"}))

        assert readers.pids() == pids
    assert first == list(serially(texts))
    assert second == list(serially(texts, small, ELEMENTS - {"Cl"})) != first


def test_a_million_texts_are_not_taken_before_there_is_room_for_them(texts):
    taken = count()
    endless = (Text(texts[0]) for _ in taken)
    with Readers(Rules(), ELEMENTS, n_children=2) as readers:
        assert len(list(islice(readers.read(endless), 20))) == 20

    assert next(taken) < 500


def test_one_iterator_at_a_time_and_an_abandoned_one_costs_nothing(texts):
    with Readers(Rules(), ELEMENTS) as readers:
        abandoned = readers.read(map(Text, texts))
        next(abandoned)
        with pytest.raises(RuntimeError, match="still reading"):
            next(readers.read([Text(texts[0])]))
        abandoned.close()

        assert shown(readers.read(map(Text, texts))) == list(serially(texts))


def _amid(texts, *deeds):
    """The deeds between neighbours whose verdicts are known."""
    asked = [*texts[:5], *(f"{deed}\n{texts[0]}" for deed in deeds), *texts[5:10]]
    return asked, list(serially(texts[:5])), list(serially(texts[5:10]))


@pytest.mark.parametrize("n_children", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("deed", "reason", "words"),
    [
        ("hang", Reason.TOO_SLOW, "longer than 1 s"),
        ("burn", Reason.TOO_SLOW, "longer than 1 s"),
        ("start another", Reason.TOO_SLOW, "longer than 1 s"),
        ("unfinished frame", Reason.TOO_SLOW, "longer than 1 s"),
    ],
)
def test_what_hangs_is_rejected_with_the_limit_and_its_neighbours_are_unharmed(
    texts, hostile, deed, reason, words, n_children
):
    asked, before, after = _amid(texts, deed)

    found = list(hostile(n_children=n_children, time_s=1.0).read(map(Text, asked)))

    assert (found[5].rejection.reason, shown(found[:5]), shown(found[6:])) == (reason, before, after)
    assert words in found[5].rejection.detail


@pytest.mark.parametrize("deed", ["allocate", "allocate and crash"])
def test_what_takes_too_much_memory_is_rejected_with_the_limit(texts, hostile, deed):
    asked, before, after = _amid(texts, deed)
    limit = 1024 * MB

    found = list(hostile(memory_bytes=limit).read(map(Text, asked)))

    assert (shown(found[:5]), shown(found[6:])) == (before, after)
    assert found[5].rejection is not None, found[5].fault
    assert found[5].rejection.reason == Reason.TOO_LARGE
    assert f"{limit:,} bytes" in found[5].rejection.detail


@pytest.mark.parametrize(
    ("deed", "kind", "words"),
    [
        ("segfault", "ChildDied", "SIGSEGV"),
        ("abort", "ChildDied", "SIGABRT"),
        ("exit silently", "ChildDied", "exit status 0"),
        ("system exit", "ChildDied", "exit status 3"),
        ("write garbage", "ChildDied", "broke the protocol"),
        ("endless frame", "ChildDied", "4,294,968,295 bytes"),
        ("raise", "KeyError", "no such key"),
        ("recurse", "RecursionError", "recursion"),
        ("write a file", "RuntimeError", "kernels"),
    ],
)
def test_what_breaks_a_child_is_a_fault_of_ours_and_its_neighbours_are_unharmed(texts, hostile, deed, kind, words):
    asked, before, after = _amid(texts, deed)

    found = list(hostile().read(map(Text, asked)))

    assert (shown(found[:5]), shown(found[6:])) == (before, after)
    assert (found[5].crystal, found[5].rejection, found[5].fault.kind) == (None, None, kind)
    assert words in found[5].fault.message


def test_a_fault_carries_its_traceback(hostile):
    (read,) = hostile().read([Text("raise")])

    assert "hostile_child.py" in read.fault.traceback


def test_what_a_library_prints_spoils_no_answer(texts, hostile):
    (read,) = hostile().read([Text("print\n" + texts[0])])

    assert shown([read]) == list(serially(texts[:1]))


def test_a_text_at_which_a_child_dies_is_read_once_more_by_a_fresh_one_alone(texts, hostile):
    asked, before, after = _amid(texts, "die unless fresh")

    found = shown(hostile().read(map(Text, asked)))

    assert found == [*before, *serially(texts[:1]), *after]


def test_many_that_hang_each_have_their_own_time(texts, hostile):
    asked, before, after = _amid(texts, "hang", "segfault", "hang", "sleep", "hang")

    found = list(hostile(n_children=2, time_s=1.0).read(map(Text, asked)))

    verdicts = [read.rejection.reason if read.rejection else read.fault for read in found[5:10]]
    assert verdicts[0::2] == [Reason.TOO_SLOW] * 3
    assert verdicts[1].kind == "ChildDied"
    assert shown(found[8:9]) == list(serially(texts[:1]))
    assert (shown(found[:5]), shown(found[10:])) == (before, after)


def test_a_caller_that_takes_its_time_makes_no_text_late(texts, hostile):
    long = texts[0] + "# " + 300_000 * "x"  # more than a pipe holds
    found = []
    for read in hostile(time_s=2.0).read(Text(long) for _ in range(12)):
        found.append(read)
        if len(found) in (1, 6):
            time.sleep(3.5)

    assert shown(found) == list(serially([long])) * 12


def test_what_burns_on_while_the_caller_is_away_is_ended_without_it(texts, hostile):
    readers = hostile(time_s=1.0)
    reads = readers.read([Text(texts[0]), Text("burn"), Text(texts[0])])
    first = next(reads)

    assert until(lambda: not any(map(is_alive, readers.pids())))  # nobody here looks after it meanwhile
    second, third = reads

    assert second.rejection.reason == Reason.TOO_SLOW
    assert shown([first, third]) == list(serially([texts[0]] * 2))


def test_a_child_gets_no_secrets_from_the_environment(hostile, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "x")
    monkeypatch.setenv("DATABASE_URL", "x")

    (read,) = hostile().read([Text("environment")])

    assert "PATH" in read.fault.message
    assert not {"SECRET_KEY", "DATABASE_URL", "DATA_DIR", "HOME"} & set(read.fault.message.split())


def test_what_a_killed_child_had_started_is_killed_with_it(hostile):
    before = set(_sleepers())

    list(hostile(time_s=1.0).read([Text("start another")]))

    assert until(lambda: set(_sleepers()) <= before)


def _sleepers():
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cmdline").read_bytes() == b"sleep\x001000\x00" and is_alive(entry.name):
                    yield entry.name
            except OSError:
                continue


def test_closing_ends_all_children(texts):
    readers = Readers(Rules(), ELEMENTS, n_children=2)
    list(readers.read(Text(text) for text in texts * 2))
    pids = readers.pids()
    assert len(pids) == 2
    assert all(map(is_alive, pids))

    readers.close()

    assert not any(map(is_alive, pids))
    assert readers.pids() == []


_PARENT = """
import sys
from validation.readers import Readers
from validation.answers import Text
from validation.rules import Rules

readers = Readers(Rules(), frozenset(), n_children=2, program="hostile_child")
texts = [Text("nothing")] + [Text("hang")] * 40
for read in readers.read(texts):
    print(*readers.pids(), flush=True)
"""


def test_children_that_hang_do_not_outlive_a_parent_that_is_killed():
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen([sys.executable, "-c", _PARENT], env=environment, stdout=subprocess.PIPE) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_alive, pids))

        parent.send_signal(signal.SIGKILL)
        parent.wait()

    assert until(lambda: not any(map(is_alive, pids)))


def test_children_that_do_not_even_start_are_no_verdict_on_any_text(texts, monkeypatch, tmp_path):
    (tmp_path / "broken_child.py").write_text("raise SystemExit(7)")
    monkeypatch.syspath_prepend(str(tmp_path))
    with (
        Readers(Rules(), ELEMENTS, program="broken_child") as readers,
        pytest.raises(CannotRead, match="exit status 7"),
    ):
        list(readers.read([Text(texts[0])]))
