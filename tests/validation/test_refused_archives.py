"""Uploads that are refused as a whole: above a limit, damaged, cut short, of another kind; never half of one."""

import gzip
import io
import itertools
import os
import struct
import tarfile
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.validation.packing import ARCHIVES, CIF, read, tarred, tgz, tzst, zipped
from validation.archive import ArchiveRefused, UploadLimits, open_upload


@ARCHIVES
def test_more_members_than_the_limit_refuse_the_archive(pack):
    with pytest.raises(ArchiveRefused, match="more than 3 members"):
        read(pack([(f"{n}.cif", CIF) for n in range(4)]), max_members=3)


@ARCHIVES
def test_more_bytes_than_the_limit_refuse_the_archive(pack):
    with pytest.raises(ArchiveRefused, match="more than 1,000,000 bytes"):
        read(pack([(f"{n}.cif", os.urandom(300_000)) for n in range(4)]), max_decompressed_bytes=1_000_000)


@pytest.mark.parametrize("pack", [zipped, tgz, tzst], ids=["zip", "tar.gz", "tar.zst"])
def test_a_bomb_is_refused_by_its_ratio_before_it_is_unpacked(pack):
    bomb = pack([("bomb.cif", bytes(60_000_000))])

    tracemalloc.start()
    with pytest.raises(ArchiveRefused, match="200 times its size"):
        read(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 40_000_000


def test_the_ratio_counts_what_is_unpacked_and_not_what_headers_say():
    bomb = bytearray(zipped([("bomb.cif", bytes(30_000_000))]))
    directory = bomb.rindex(b"PK\x01\x02")
    struct.pack_into(
        "<L", bomb, directory + 20, 29_000_000 // 100
    )  # compressed size, a lie that overlaps the directory

    with pytest.raises(ArchiveRefused):
        read(bytes(bomb))


def test_a_small_file_that_packs_well_is_no_bomb():
    (member,) = read(tgz([("a.cif", CIF + b" " * 1_000_000)]))

    assert member.problem is None


def test_a_tar_header_cannot_ask_for_memory():
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 32
    stream = info.tobuf(tarfile.USTAR_FORMAT) + bytes(100_000)

    with pytest.raises(ArchiveRefused, match="damaged"):
        read(stream)


def test_a_tar_that_repeats_folders_without_end_is_refused():
    folder = tarfile.TarInfo("d")
    folder.type = tarfile.DIRTYPE

    with pytest.raises(ArchiveRefused, match="members"):
        read(gzip.compress(folder.tobuf() * 2_000), max_members=1_000)


def test_a_zip_list_of_members_is_counted_before_it_is_loaded():
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<3H", 1, 0, 0) + bytes(12) + b"a"
    directory = entry * 50_000
    end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 50_000, 50_000, len(directory), 104, 0)

    with pytest.raises(ArchiveRefused, match="more than 1,000 members"):
        read(b"PK\x03\x04" + bytes(100) + directory + end, max_members=1_000)


def test_a_zip_of_another_part_is_refused():
    data = bytearray(zipped([("a.cif", CIF)]))
    struct.pack_into("<H", data, len(data) - 18, 1)

    with pytest.raises(ArchiveRefused, match="one part of several"):
        read(bytes(data))


def test_an_encrypted_zip_is_refused():
    data = bytearray(zipped([("a.cif", CIF)]))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    data[6] |= 1

    with pytest.raises(ArchiveRefused, match="encrypted"):
        read(bytes(data))


def test_members_of_a_zip_that_overlap_are_refused():
    data = bytearray(zipped([("a.cif", CIF), ("b.cif", CIF)]))
    second = data.rindex(b"PK\x01\x02")
    struct.pack_into("<L", data, second + 42, 0)

    with pytest.raises(ArchiveRefused, match="overlap"):
        read(bytes(data))


@pytest.mark.parametrize(
    "data",
    [b"", zipped([]), tgz([]), zipped([(".DS_Store", b"x")]), gzip.compress(b"")],
    ids=["nothing", "zip", "tar.gz", "hidden files", "gzip"],
)
def test_an_upload_without_files_is_refused(data):
    with pytest.raises(ArchiveRefused, match="empty"):
        read(data)


def test_an_archive_cut_short_is_refused():
    noise = [(f"{n}.cif", os.urandom(5_000)) for n in range(3)]

    for pack in (zipped, tarred, tgz):
        data = pack(noise)
        with pytest.raises(ArchiveRefused, match="damaged"):
            read(data[: len(data) // 2 if pack is not tarred else 8_000])


def test_a_tar_with_a_damaged_header_is_refused():
    data = bytearray(tarred([("a.cif", CIF), ("b.cif", CIF)], form=tarfile.USTAR_FORMAT))
    data[1024 + 10] ^= 0xFF

    with pytest.raises(ArchiveRefused, match="damaged"):
        read(bytes(data))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_tar_without_its_end_is_refused(form):
    data = tarred([("a.cif", CIF)], form=form)

    with pytest.raises(ArchiveRefused, match="ends without an end mark"):
        read(data[:1024])


@pytest.mark.parametrize("rest", [b"<html>", tarred([("b.cif", CIF)])], ids=["text", "another tar"])
def test_something_else_after_a_tar_refuses_the_upload(rest):
    with pytest.raises(ArchiveRefused, match="something else follows its end"):
        read(tarred([("a.cif", CIF)]) + rest)


@pytest.mark.parametrize("data", [b"7z\xbc\xaf\x27\x1c00", b"Rar!\x1a\x07\0", b"BZh91AY"])
def test_an_upload_of_another_kind_is_refused_with_the_kinds_that_are_read(data):
    with pytest.raises(ArchiveRefused, match=r"zip, tar, tar.gz or tar.zst is read"):
        read(data)


def test_reading_for_too_long_is_refused():
    seconds = itertools.count()

    with pytest.raises(ArchiveRefused, match="takes longer than 20 s"):
        list(
            open_upload(
                io.BytesIO(zipped([(f"{n}.cif", CIF) for n in range(50)])),
                "upload",
                UploadLimits(max_seconds=20),
                clock=lambda: float(next(seconds)),
            )
        )


@given(st.sampled_from([zipped, tarred, tgz, tzst]), st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_gives_members_or_a_refusal_and_nothing_else(pack, position, mask):
    data = bytearray(pack([("a.cif", CIF * 3), ("b.cif", CIF)]))
    data[position % len(data)] ^= mask

    try:
        members = read(bytes(data))
    except ArchiveRefused:
        return

    assert all((member.data is None) != (member.problem is None) for member in members)


@given(
    st.sampled_from([b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"", b"data_"]),
    st.binary(max_size=300),
)
def test_any_bytes_give_members_or_a_refusal_and_nothing_else(magic, rest):
    try:
        read(magic + rest)
    except ArchiveRefused as refused:
        assert str(refused).endswith(".")
