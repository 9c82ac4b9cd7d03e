import json
import math

import pytest

from benchmark.__main__ import main
from benchmark.cifs import corpus, made
from benchmark.read import MEANINGS


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark") / "figures.json"
    assert main(["read", "--quick", "--json", str(path)]) == 0
    return json.loads(path.read_text())["figures"]


def test_quick_gives_every_figure(figures):
    assert figures.keys() == MEANINGS.keys()
    assert all(math.isfinite(value) and value >= 0 for value in figures.values())


def test_every_file_is_read_as_cifparser_reads_it(figures):
    assert figures["files"] >= 20
    assert figures["symmetry_files"] >= 10
    assert figures["disagreements"] == 0
    assert figures["rejected_only_here"] == 0
    assert figures["accepted_only_here"] == 0


def test_the_files_made_are_the_same_in_every_run():
    assert made(3) == made(3)
    assert [file.symmetric for file in made(3)] == [False] * 3 + [True] * 3


def test_without_a_corpus_there_are_no_files_of_it(tmp_path):
    assert corpus(tmp_path / "nothing.zip") == []
