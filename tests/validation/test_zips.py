"""What a zip's list says is held against the archive; and a million members cost no more memory than a few."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packing import CIF, zipped

from validation.archive import ArchiveRefused, UploadLimits, open_upload
from validation.rules import Reason

SIGNATURES = {"local": b"PK\x03\x04", "listed": b"PK\x01\x02", "end": b"PK\x05\x06"}


def read(data, **limits):
    return list(open_upload(io.BytesIO(data), "upload.zip", UploadLimits(**limits)))


def patched(data, record, offset, layout, value):
    """The archive with a number of its first local header, first list entry or end record changed."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, data.index(SIGNATURES[record]) + offset, value)
    return bytes(changed)


def by_hand(name, data, *, listed_extra=b"", end=None, **fields):
    """A zip of one stored member; fields of its list entry as they are given."""
    entry = {"flags": 0, "crc": zlib.crc32(data), "packed": len(data), "size": len(data), "begin": 0, **fields}
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, zlib.crc32(data), len(data), len(data), len(name), 0)
    listed = struct.pack(
        "<4s6H3I5H2I",
        *(b"PK\1\2", 20, 20, entry["flags"], 0, 0, 0, entry["crc"], entry["packed"], entry["size"]),
        *(len(name), len(listed_extra), 0, 0, 0, 0, entry["begin"]),
    )
    begin = len(local) + len(name) + len(data)
    listed += name + listed_extra
    end = end or struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(listed), begin, 0)
    return local + name + data + listed + end


def zip64(data, **stated):
    """The archive with the records of a large one; ``stated`` are lies in its zip64 end record."""
    at = data.index(SIGNATURES["end"])
    count, size, begin = struct.unpack_from("<H2I", data, at + 10)
    true = {"count": count, "size": size, "begin": begin, "at": at, **stated}
    record = struct.pack(
        "<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, true["count"], true["count"], true["size"], true["begin"]
    )
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, true["at"], 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return data[:at] + record + locator + end


PAIR = zipped([("a.cif", CIF), ("b.cif", CIF)])


@given(st.lists(st.binary(max_size=2000), max_size=8), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_members_are_those_that_were_written(contents, method):
    members = [(f"{number}.cif", b"x" + content) for number, content in enumerate(contents)]

    assert [(m.name, m.data) for m in read(zipped([*members, ("last.cif", CIF)], method))][:-1] == members


def test_a_zip_written_to_a_pipe_keeps_its_numbers_behind_the_data():
    class Pipe(io.BytesIO):
        def seek(self, *where):
            raise io.UnsupportedOperation("a pipe")

    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.cif", CIF)

    assert out.getvalue()[6] & 0x8
    assert read(out.getvalue())[0].data == CIF


def test_the_records_of_a_large_zip_are_read():
    assert [member.data for member in read(zip64(PAIR))] == [CIF, CIF]


def test_a_large_members_numbers_are_read():
    numbers = struct.pack("<2H3Q", 1, 24, len(CIF), len(CIF), 0)
    data = by_hand(b"a.cif", CIF, listed_extra=numbers, size=0xFFFFFFFF, packed=0xFFFFFFFF, begin=0xFFFFFFFF)

    assert read(data)[0].data == CIF


def test_more_members_than_the_old_end_record_can_count_are_read():
    """Some packers write the count modulo 65,536 and no zip64 record."""
    data = zipped([(f"{number}", b"x") for number in range(65_600)], zipfile.ZIP_STORED)
    at = data.index(b"PK\x06\x06")
    begin = struct.unpack_from("<Q", data, at + 48)[0]
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 64, 64, at - begin, begin, 0)

    assert sum(1 for _ in open_upload(io.BytesIO(data[:at] + end), "upload.zip")) == 65_600


@pytest.mark.parametrize(
    "stated",
    [{"count": 3}, {"count": 1 << 60}, {"size": 1 << 60}, {"begin": 1 << 60}, {"begin": 0}, {"at": 1 << 60}, {"at": 0}],
    ids=str,
)
def test_lies_in_the_records_of_a_large_zip_refuse_it(stated):
    with pytest.raises(ArchiveRefused, match=r"damaged or incomplete|lists 2 members where it says 3"):
        read(zip64(PAIR, **stated))


@pytest.mark.parametrize("extra", [b"", struct.pack("<2HQ", 1, 8, 5), struct.pack("<2H3Q", 1, 24, 1 << 63, 0, 0)])
def test_a_large_members_missing_or_impossible_numbers_refuse_the_zip(extra):
    with pytest.raises(ArchiveRefused, match="damaged"):
        read(by_hand(b"a.cif", CIF, listed_extra=extra, size=0xFFFFFFFF, packed=0xFFFFFFFF))


def test_two_end_records_that_differ_refuse_the_zip():
    data = bytearray(zip64(PAIR))
    struct.pack_into("<2H", data, len(data) - 14, 1, 1)

    with pytest.raises(ArchiveRefused, match="damaged"):
        read(bytes(data))


def test_a_count_that_is_not_that_of_the_list_refuses_the_zip():
    data = patched(patched(PAIR, "end", 8, "<H", 1), "end", 10, "<H", 1)

    with pytest.raises(ArchiveRefused, match="lists 2 members where it says 1"):
        read(data)


def test_something_else_after_the_end_refuses_the_zip():
    with pytest.raises(ArchiveRefused, match="7 bytes of something else follow the zip's end"):
        read(PAIR + b"garbage")


def test_a_comment_may_hold_what_looks_like_an_end():
    out = io.BytesIO(PAIR)
    with zipfile.ZipFile(out, "a") as archive:
        archive.comment = b"PK\x05\x06" + bytes(30)

    assert len(read(out.getvalue())) == 2


@pytest.mark.parametrize(
    ("offset", "layout", "value", "sentence"),
    [
        (24, "<I", 1, "unpacks to more bytes than the 1 that"),
        (24, "<I", 5_000, "unpacks to fewer bytes than the 5,000"),
        (16, "<I", 5, "checksum does not fit"),
        (10, "<H", 0, "bytes than the 27 that"),
    ],
    ids=["size too small", "size too large", "checksum", "method"],
)
def test_a_list_and_a_header_that_tell_the_same_lie_cost_only_the_member(offset, layout, value, sentence):
    data = patched(patched(PAIR, "listed", offset, layout, value), "local", offset - 2, layout, value)

    members = read(data)

    assert members[0].problem.reason is Reason.UNREADABLE
    assert sentence in members[0].problem.detail
    assert members[1].data == CIF


@pytest.mark.parametrize(
    ("offset", "layout", "value"),
    [(24, "<I", 25), (16, "<I", 5), (10, "<H", 0), (46, "<B", ord("z"))],
    ids=["size", "checksum", "method", "name"],
)
def test_a_list_that_differs_from_the_members_header_costs_only_the_member(offset, layout, value):
    members = read(patched(PAIR, "listed", offset, layout, value))

    assert members[0].problem.reason is Reason.UNREADABLE
    assert "described in two ways" in members[0].problem.detail
    assert members[1].data == CIF


def test_a_member_that_says_it_is_larger_than_the_limit_is_not_unpacked():
    data = patched(PAIR, "listed", 24, "<I", 1 << 31)

    members = read(data)

    assert members[0].problem.reason is Reason.TOO_LARGE
    assert members[1].data == CIF


@pytest.mark.parametrize(("offset", "value"), [(20, 1 << 31), (42, 1 << 31)], ids=["packed size", "place"])
def test_a_member_outside_of_the_zip_refuses_it(offset, value):
    with pytest.raises(ArchiveRefused, match="outside"):
        read(patched(PAIR, "listed", offset, "<I", value))


def test_a_header_that_reaches_into_the_next_member_refuses_the_zip():
    data = patched(zipped([("a.cif", CIF), ("b.cif", CIF)], zipfile.ZIP_STORED), "local", 28, "<H", 4)

    with pytest.raises(ArchiveRefused, match="overlap"):
        read(data)


def test_a_member_that_does_not_begin_where_the_list_says_costs_only_itself():
    data = bytearray(PAIR)
    data[PAIR.rindex(SIGNATURES["local"]) + 3] ^= 0xFF

    members = read(bytes(data))

    assert members[0].data == CIF
    assert "does not begin where" in members[1].problem.detail


def test_a_zip_that_holds_itself_costs_only_the_member():
    members = read(zipped([("quine.zip", PAIR), ("good.cif", CIF)]))

    assert "zip archive within the upload" in members[0].problem.detail
    assert members[1].data == CIF


@pytest.mark.parametrize(
    ("name", "flags", "sentence"),
    [
        (b"a\0b.cif", 0, "NUL byte"),
        (b"caf\xe9.cif", 0x800, "not valid UTF-8"),
        (b"../a.cif", 0, "leads out"),
        (b"C:/a.cif", 0, "leads out"),
        (b"", 0, "no name"),
    ],
)
def test_a_bad_name_is_a_problem_of_its_member(name, flags, sentence):
    (member,) = read(by_hand(name, CIF, flags=flags))

    assert member.problem.reason is Reason.UNREADABLE
    assert sentence in member.problem.detail


@pytest.mark.parametrize(("name", "shown"), [(b"caf\xc3\xa9.cif", "café.cif"), (b"caf\x82.cif", "café.cif")])
def test_names_that_are_not_said_to_be_utf8_are_read_all_the_same(name, shown):
    assert read(by_hand(name, CIF))[0].name == shown


@pytest.mark.parametrize(("kind", "sentence"), [(0o12, "a link"), (0o1, "no plain file"), (0o6, "no plain file")])
def test_links_and_devices_cost_only_themselves(kind, sentence):
    info = zipfile.ZipInfo("odd.cif")
    info.external_attr = kind << 28

    members = read(zipped([(info, b"/etc/passwd"), ("good.cif", CIF)]))

    assert sentence in members[0].problem.detail
    assert members[1].data == CIF


@pytest.mark.slow
def test_reading_the_list_costs_the_same_memory_for_many_members_as_for_few():
    def peak_of(n_members):
        stream = io.BytesIO(zipped([(f"{number:06d}.cif", b"data_a") for number in range(n_members)]))
        tracemalloc.start()
        count = sum(1 for _ in open_upload(stream, "upload.zip"))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == n_members
        return peak

    assert peak_of(60_000) < peak_of(40_000) + 60 * 20_000  # numbers of 16 bytes a member, and their sorting
