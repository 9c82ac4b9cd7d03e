import itertools
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.blocks import Block, Format, decode, format_of, split_file

CELL = "_cell_length_a 4\n"
FRAME = '2\nLattice="4 0 0 0 4 0 0 0 4"\nNa 0 0 0\nCl 2 2 2\n'
OBJECT = '{"lattice": {"matrix": []}, "sites": [], "note": "}] \\" ["}'


def split(text, name=""):
    return list(split_file(text.encode("utf-8", "surrogatepass"), name))


def names(text, name=""):
    return [block.name for block in split(text, name)]


def texts(text, name=""):
    return [block.text for block in split(text, name)]


def test_each_data_header_begins_a_block_in_any_case():
    text = f"data_one\n{CELL}DATA_two\n{CELL}  Data_three\n{CELL}"

    assert names(text) == ["one", "two", "three"]


def test_blocks_joined_again_are_the_file():
    text = f"# made by hand\ndata_one\n{CELL}\n# next\ndata_two\n{CELL}"

    assert "".join(block.text for block in split(text)) == text


def test_a_block_knows_the_line_of_the_file_where_it_begins():
    text = f"# made by hand\ndata_one\n{CELL}\ndata_two\n{CELL}"

    assert [block.line for block in split(text)] == [1, 5]


def test_a_header_within_a_text_field_is_text():
    text = f"data_one\n{CELL}_note\n;\ndata_no\n;\ndata_two\n{CELL}"

    assert names(text) == ["one", "two"]


def test_a_header_within_a_comment_is_no_header():
    assert names(f"data_one\n{CELL}# data_no\n#data_no\n") == ["one"]


def test_a_text_field_that_never_ends_swallows_the_rest():
    assert names(f"data_one\n{CELL}_note\n;\ndata_two\n{CELL}") == ["one"]


def test_blocks_without_a_structure_are_dropped_where_another_has_one():
    assert names(f"data_global\n_journal_year 1999\ndata_phase\n{CELL}") == ["phase"]


def test_blocks_without_a_structure_are_kept_where_none_has_one():
    assert names("data_global\n_journal_year 1999\ndata_other\n") == ["global", "other"]


@pytest.mark.parametrize("text", ["", "\n\n", "<html></html>", "Na Cl\n1.0\n"])
def test_a_text_without_a_header_is_one_block_without_a_name(text):
    assert split(text) == [Block("", text)]


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n"])
def test_line_endings_of_every_system_are_read(ending):
    assert names(ending.join(["data_one", "_cell_length_a 4", "data_two", "_cell_length_a 4", ""])) == ["one", "two"]


def test_separators_that_are_no_line_endings_begin_no_block():
    assert names(f"data_one\n{CELL}_note 'a\u2028data_no\x0bdata_no'\n") == ["one"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"data_\xc3\xa9", "data_é"),
        (b"\xef\xbb\xbfdata_a", "data_a"),
        (b"data_\xe9", "data_é"),
        (b"", ""),
    ],
)
def test_decoding_reads_utf8_with_or_without_mark_and_else_latin1(data, text):
    assert decode(data) == text


@given(st.binary(max_size=200))
def test_decoding_and_splitting_never_fail(data):
    assert list(split_file(data))


@given(st.lists(st.sampled_from(["data_x\n", ";\n", "_a 1\n", "# c\n", CELL, "\n"]), max_size=20))
def test_no_line_is_lost_where_every_block_is_kept(lines):
    text = "".join(lines)

    found = split(text)

    if not any("_cell_length_a" in line for line in lines):
        assert "".join(block.text for block in found) == text


@pytest.mark.parametrize(
    ("text", "name", "format"),
    [
        ("data_a\n", "a.cif", Format.CIF),
        ("data_a\n", "misleading.json", Format.CIF),
        ("# made by hand\ndata_a\n", "misleading.xyz", Format.CIF),
        (FRAME, "misleading.cif", Format.EXTXYZ),
        ("\n \n" + FRAME, "", Format.EXTXYZ),
        ("nonsense", "a.xyz", Format.EXTXYZ),
        (OBJECT, "misleading.cif", Format.JSON),
        ("  \n[" + OBJECT + "]", "", Format.JSON),
        ("nonsense", "a.jsonl", Format.JSON),
        ("nonsense", "a.txt", Format.CIF),
        ("", "", Format.CIF),
    ],
)
def test_the_content_decides_the_format_and_the_name_where_it_does_not(text, name, format):
    assert format_of(text.encode(), name) == format
    assert {block.format for block in split(text, name)} == {format}


def test_each_frame_is_a_block_that_knows_its_line():
    found = split(FRAME + "\n" + FRAME + FRAME + "\n\n")

    assert [(block.name, block.line) for block in found] == [("1", 1), ("2", 6), ("3", 10)]
    assert {block.text for block in found} == {FRAME}


def test_what_a_file_has_only_one_of_needs_no_name():
    assert names(FRAME + "\n") == [""]
    assert names(OBJECT) == names(f"[{OBJECT}]") == [""]


def test_a_frame_that_announces_no_number_takes_the_rest_of_its_file_with_it():
    assert texts(FRAME + "two\n" + FRAME) == [FRAME, "two\n" + FRAME]


def test_a_frame_cut_short_is_a_block():
    assert texts(FRAME + "999999999\nLattice\n") == [FRAME, "999999999\nLattice\n"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"{OBJECT}\n{OBJECT}\n", [1, 2]),
        (f"\n{OBJECT}\n\n  {OBJECT}", [2, 4]),
        (f"[{OBJECT},{OBJECT}]", [1, 1]),
        (f"[\n  {OBJECT},\n\n  {OBJECT}\n]\n", [2, 4]),
        (f"{OBJECT} {OBJECT}", [1, 1]),
    ],
    ids=["one a line", "blank lines", "list", "list of many lines", "one after the other"],
)
def test_each_object_is_a_block_that_knows_its_line(text, lines):
    found = split(text)

    assert [json.loads(block.text) for block in found] == [json.loads(OBJECT)] * 2
    assert [(block.name, block.line) for block in found] == list(zip("12", lines, strict=True))


def test_an_object_of_many_lines_is_one_block():
    text = json.dumps(json.loads(OBJECT), indent=2)

    assert texts(text) == [text]


def test_a_broken_line_costs_only_itself():
    assert texts(f'{OBJECT}\n{{"lattice": [\n{OBJECT}\n') == [OBJECT, '{"lattice": [', OBJECT]


@pytest.mark.parametrize(
    ("text", "junk"), [(f"[1, {OBJECT}, null]", ["1", "null]"]), (f"[{OBJECT}", [""]), (f"[{OBJECT}] x", ["] x"])]
)
def test_what_is_no_object_is_a_block_too_for_reading_to_refuse(text, junk):
    assert [found for found in texts(text) if found != OBJECT] == junk


@pytest.mark.parametrize(
    "text", ["[" * 500_000, '{"a":' * 100_000, '"' * 500_000, "[" + '\\"' * 250_000, "[]" * 300_000]
)
def test_hostile_brackets_and_quotes_are_scanned_once(text):
    assert sum(1 for _ in itertools.islice(split_file(text.encode(), "a.json"), 10)) >= 1


@pytest.mark.parametrize("letter", ["\n", " ", ",", "{", '"', "0\n", ";\n", "[]"])
def test_a_file_of_one_letter_costs_no_memory_beyond_its_bytes(letter):
    data = letter.encode() * 1_000_000

    tracemalloc.start()
    for _ in itertools.islice(split_file(data, "a.json"), 1000):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 4 * len(data)


@pytest.mark.parametrize("text", ["data_x\n_cell_length_a 4\n", FRAME, OBJECT + "\n"], ids=["cif", "extxyz", "json"])
def test_a_file_of_many_blocks_is_never_all_objects_at_once(text):
    data = text.encode() * 50_000

    tracemalloc.start()
    count = sum(1 for _ in split_file(data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 50_000
    assert peak < 1_000_000


@given(st.sampled_from(["", "[", "{", "2\n", "data_"]), st.binary(max_size=200), st.sampled_from(["", ".xyz", ".json"]))
def test_any_file_has_at_least_one_block_and_no_byte_twice(start, rest, name):
    data = start.encode() + rest

    found = list(split_file(data, name))

    assert found
    assert sum(len(block.text) for block in found) <= len(data)
