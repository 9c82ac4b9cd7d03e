import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation import blocks
from validation.blocks import Block, decode, split_blocks
from validation.rules import Reason, Rejected

CELL = "_cell_length_a 4\n"


def names(text):
    return [block.name for block in split_blocks(text)]


def test_each_data_header_begins_a_block_in_any_case():
    text = f"data_one\n{CELL}DATA_two\n{CELL}  Data_three\n{CELL}"

    assert names(text) == ["one", "two", "three"]


def test_blocks_joined_again_are_the_file():
    text = f"# made by hand\ndata_one\n{CELL}\n# next\ndata_two\n{CELL}"

    assert "".join(block.text for block in split_blocks(text)) == text


def test_a_block_knows_the_line_of_the_file_where_it_begins():
    text = f"# made by hand\ndata_one\n{CELL}\ndata_two\n{CELL}"

    assert [block.line for block in split_blocks(text)] == [1, 5]


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
    assert split_blocks(text) == [Block("", text)]


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n"])
def test_line_endings_of_every_system_are_read(ending):
    assert names(ending.join(["data_one", "_cell_length_a 4", "data_two", "_cell_length_a 4", ""])) == ["one", "two"]


def test_separators_that_are_no_line_endings_begin_no_block():
    assert names(f"data_one\n{CELL}_note 'a\u2028data_no\x0bdata_no'\n") == ["one"]


def test_more_blocks_than_the_limit_are_too_large(monkeypatch):
    monkeypatch.setattr(blocks, "MAX_BLOCKS", 3)

    with pytest.raises(Rejected, match="more than 3 data blocks") as caught:
        split_blocks("data_a\n" * 4)

    assert caught.value.reason is Reason.TOO_LARGE


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
    assert split_blocks(decode(data))


@given(st.lists(st.sampled_from(["data_x\n", ";\n", "_a 1\n", "# c\n", CELL, "\n"]), max_size=20))
def test_no_line_is_lost_where_every_block_is_kept(lines):
    text = "".join(lines)

    found = split_blocks(text)

    if not any("_cell_length_a" in line for line in lines):
        assert "".join(block.text for block in found) == text
