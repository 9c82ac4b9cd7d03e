"""Members of zip, tar and packed files come in their order; one that cannot be taken costs only itself."""

import gzip
import io
import os
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import pytest
import zstandard

from tests.validation.packing import ARCHIVES, CIF, read, tarred, tgz, tzst, zipped
from validation.archive import ArchiveRefused, open_upload
from validation.rules import Reason

FOLDER = "5"  # a tar member that is no file is given by its type
PACKED = pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])


@ARCHIVES
def test_members_come_in_the_order_of_the_archive(pack):
    members = read(pack([("b.cif", CIF), ("folder/a.cif", CIF + b"2")]))

    assert [(member.name, member.data) for member in members] == [("b.cif", CIF), ("folder/a.cif", CIF + b"2")]
    assert all(member.problem is None for member in members)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_tar_names_are_read_in_every_format(form):
    name = "folder_of_some_length/" * 5 + "x" * 80 + "ö.cif"

    (member,) = read(tarred([(name, CIF)], form=form))

    assert (member.name, member.data) == (name, CIF)


def test_a_single_file_is_one_member_of_its_own_name():
    (member,) = read(CIF, "NaCl.cif")

    assert (member.name, member.data, member.problem) == ("NaCl.cif", CIF, None)


@PACKED
def test_a_packed_single_file_is_unpacked(pack):
    (member,) = read(pack(CIF), "NaCl.cif.gz" if pack is gzip.compress else "NaCl.cif.zst")

    assert (member.name, member.data) == ("NaCl.cif", CIF)


@PACKED
def test_parts_packed_one_after_the_other_are_one_file(pack):
    (member,) = read(pack(CIF) + pack(b"") + pack(CIF))

    assert member.data == CIF * 2


@PACKED
def test_what_is_packed_twice_is_no_structure(pack):
    (member,) = read(pack(pack(CIF)))

    assert member.problem.reason is Reason.NOT_CIF
    assert "no archive within another" in member.problem.detail


@PACKED
def test_something_else_after_packed_data_refuses_the_upload(pack):
    with pytest.raises(ArchiveRefused, match=r"Something else follows the end of the (gzip|zstd) data"):
        read(pack(CIF) + b"<html>" * 20)


@PACKED
@pytest.mark.parametrize("cut", [1, 4, 12, 30])
def test_packed_data_cut_short_are_refused(pack, cut):
    data = pack(os.urandom(100))

    with pytest.raises(ArchiveRefused, match="damaged or incomplete"):
        read(data[:-cut])


@PACKED
def test_a_packed_byte_that_changed_is_noticed(pack):
    data = bytearray(
        zstandard.ZstdCompressor(write_checksum=True).compress(CIF) if pack is not gzip.compress else pack(CIF)
    )
    data[-10] ^= 0xFF

    with pytest.raises(ArchiveRefused, match="damaged"):
        read(bytes(data))


@PACKED
def test_more_parts_than_any_packer_makes_are_refused(pack):
    with pytest.raises(ArchiveRefused, match="more than 100,000 parts"):
        read(pack(CIF) + pack(b"") * 100_001)


def test_a_gzip_padded_with_zeros_is_read():
    assert read(gzip.compress(CIF) + bytes(100_000))[0].data == CIF


def test_a_zstd_frame_that_is_to_be_skipped_is_skipped():
    skipped = struct.pack("<2I", 0x184D2A51, 5) + b"notes"

    assert read(skipped + zstandard.compress(CIF) + skipped)[0].data == CIF


def test_a_zstd_with_a_huge_window_is_refused_with_its_size():
    packer = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=False)
    ).compressobj()
    data = packer.compress(CIF) + packer.flush()

    with pytest.raises(ArchiveRefused, match=r"window of 1,073,741,824 bytes to be unpacked; at most 134,217,728"):
        read(data)


@ARCHIVES
def test_hidden_files_and_folders_are_left_out(pack):
    members = read(pack([("__MACOSX/._a.cif", b"x"), (".DS_Store", b"x"), ("d/.hidden/b.cif", b"x"), ("a.cif", CIF)]))

    assert [member.name for member in members] == ["a.cif"]


def test_folders_are_left_out():
    assert [member.name for member in read(zipped([("d/", b""), ("d/a.cif", CIF)]))] == ["d/a.cif"]
    assert [member.name for member in read(tarred([("d", FOLDER), ("d/a.cif", CIF)]))] == ["d/a.cif"]


@ARCHIVES
@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b.cif", "..\\b.cif", "C:\\b.cif"])
def test_names_that_lead_out_of_the_archive_cost_only_themselves(pack, name):
    members = read(pack([(name, CIF), ("good.cif", CIF)]))

    assert members[0].data is None
    assert members[0].problem.reason is Reason.UNREADABLE
    assert "leads out" in members[0].problem.detail
    assert members[1].data == CIF


@ARCHIVES
def test_a_name_above_the_limit_costs_only_itself(pack):
    members = read(pack([("n" * 400 + ".cif", CIF), ("good.cif", CIF)]))

    assert "404 characters; at most 255" in members[0].problem.detail
    assert len(members[0].name) == 255
    assert members[1].data == CIF


@pytest.mark.parametrize("kind", ["1", "2", "3", "4", "6", "S"])
def test_links_and_devices_cost_only_themselves(kind):
    members = read(tarred([("odd.cif", kind), ("good.cif", CIF)]))

    assert members[0].problem.reason is Reason.NOT_CIF
    assert members[1].data == CIF


def test_a_link_in_a_zip_costs_only_itself():
    info = zipfile.ZipInfo("link.cif")
    info.external_attr = 0o120777 << 16

    members = read(zipped([(info, b"/etc/passwd"), ("good.cif", CIF)]))

    assert "link" in members[0].problem.detail
    assert members[1].data == CIF


@ARCHIVES
@pytest.mark.parametrize(
    "inner",
    [zipped([("a", CIF)]), tarred([("a", CIF)]), tgz([("a", CIF)]), b"7z\xbc\xaf\x27\x1c00"],
    ids=["zip", "tar", "tar.gz", "7z"],
)
def test_archives_within_archives_cost_only_themselves(pack, inner):
    members = read(pack([("inner", inner), ("good.cif", CIF)]))

    assert members[0].problem.reason is Reason.NOT_CIF
    assert "archive" in members[0].problem.detail
    assert members[1].data == CIF


@ARCHIVES
def test_a_member_above_its_limit_costs_only_itself(pack):
    members = read(pack([("big.cif", CIF * 100), ("good.cif", CIF)]), max_member_bytes=1000)

    assert members[0].problem.reason is Reason.TOO_LARGE
    assert "1,000 bytes" in members[0].problem.detail
    assert members[1].data == CIF


def test_a_single_file_above_the_member_limit_is_too_large():
    (member,) = read(CIF * 100, max_member_bytes=1000)

    assert member.problem.reason is Reason.TOO_LARGE


def test_a_damaged_member_of_a_zip_costs_only_itself():
    data = bytearray(zipped([("bad.cif", CIF), ("good.cif", CIF)], zipfile.ZIP_STORED))
    data[data.index(CIF)] ^= 0xFF

    members = read(bytes(data))

    assert members[0].problem.reason is Reason.UNREADABLE
    assert members[1].data == CIF


def test_a_zip_member_of_another_method_costs_only_itself():
    (member,) = read(zipped([("a.cif", CIF)], zipfile.ZIP_LZMA))

    assert "deflate" in member.problem.detail


@pytest.mark.parametrize("pack", [zipped, tarred, tgz, tzst], ids=["zip", "tar", "tar.gz", "tar.zst"])
def test_names_with_control_characters_cost_only_themselves_and_are_shown_without(pack):
    members = read(pack([("a\n\x1b[31m.cif", CIF), ("good.cif", CIF)]))

    assert members[0].name == "a??[31m.cif"
    assert "control character" in members[0].problem.detail
    assert members[1].data == CIF


@ARCHIVES
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_may_be_given_twice_and_both_are_read(pack):
    assert [member.data for member in read(pack([("a.cif", CIF), ("a.cif", CIF * 2)]))] == [CIF, CIF * 2]


def test_a_tar_name_that_is_no_utf8_costs_only_itself():
    info = tarfile.TarInfo("caf\udce9.cif")
    header = info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")

    members = read(header + tarred([("good.cif", CIF)]))

    assert "caf?.cif is not valid UTF-8" in members[0].problem.detail
    assert members[1].data == CIF


def test_a_sparse_file_costs_only_itself():
    info = tarfile.TarInfo("sparse.cif")
    info.pax_headers, info.size = {"GNU.sparse.major": "1"}, len(CIF)
    header = info.tobuf(tarfile.PAX_FORMAT)

    members = read(header + CIF + bytes(-len(CIF) % 512) + tarred([("good.cif", CIF)]))

    assert "no plain file" in members[0].problem.detail
    assert members[1].data == CIF


def test_a_limit_of_time_needs_a_clock():
    with pytest.raises(ValueError, match="clock"):
        read(CIF, max_seconds=20)


def test_only_one_member_is_in_memory_at_a_time():
    data = tarred([(f"{n}.cif", os.urandom(1_000_000)) for n in range(20)])
    stream = io.BytesIO(data)

    tracemalloc.start()
    for member in open_upload(stream, "upload"):
        del member
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 6_000_000


def test_a_gzip_with_a_broken_stream_is_refused():
    data = gzip.compress(CIF)[:10] + b"\xff" * 30
    assert zlib.crc32(data)

    with pytest.raises(ArchiveRefused, match="damaged"):
        read(data)
