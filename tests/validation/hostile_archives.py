"""Hostile and damaged archives: bombs, lies, names, links, and what is cut short."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile

import zstandard

from tests.validation.hostile import Kind
from tests.validation.validation_crystals import cif_text
from validation.members import UploadLimits
from validation.rules import Reason

GOOD = "ClNa"
CIF = cif_text().encode()

_ENTRY, _END = b"PK\x01\x02", b"PK\x05\x06"
_TRUNCATIONS = 10


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data, compress_type=method)
    return out.getvalue()


def tarred(*members: tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _header(name: str, kind: bytes, size: int = 0, link: str = "") -> bytes:
    """Of a tar member, whatever it says."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info.tobuf(tarfile.GNU_FORMAT)


def _pax(records: bytes) -> bytes:
    return _header("pax", tarfile.XHDTYPE, len(records)) + records + bytes(-len(records) % 512)


def _with(data: bytes, mark: bytes, at: int, form: str, *numbers: int, last: bool = True) -> bytes:
    """An archive with other numbers so far behind one of its marks."""
    changed = bytearray(data)
    struct.pack_into(form, changed, (data.rindex(mark) if last else data.index(mark)) + at, *numbers)
    return bytes(changed)


def _two() -> bytes:
    return zipped(("a.cif", CIF), ("b.cif", CIF))


def _refused(name: str, make: object, words: str, file: str = "bad.zip", **limits: float) -> Kind:
    return Kind(name=name, make=make, file=file, refused=words, limits=UploadLimits(**limits))


def _member(name: str, make: object, reason: Reason, words: str, *, file: str = "bad.zip", before: int = 0) -> Kind:
    """One member has a problem; those before it are good ones."""
    return Kind(name=name, make=make, file=file, verdicts=(*[GOOD] * before, reason), words=words)


def _limits() -> list[Kind]:
    noise = os.urandom(300_000)
    five = [(f"{n}.cif", CIF) for n in range(5)]
    return [
        _refused("nothing", lambda: b"", "The upload is empty"),
        _refused("zip of nothing", lambda: zipped(), "The upload is empty"),
        _refused("members", lambda: zipped(*five), "more than 4 members", max_members=4),
        _refused("members of a tar", lambda: tarred(*five), "more than 4 members", "bad.tar", max_members=4),
        _refused(
            "folders without end",
            lambda: gzip.compress(_header("d", tarfile.DIRTYPE) * 2_000),
            "more than 1,000 m",
            max_members=1_000,
        ),
        _refused("structures", lambda: zipped(("a.cif", CIF * 5)), "more than 4 structures", max_structures=4),
        _refused(
            "bytes",
            lambda: zipped(("a", noise), ("b", noise)),
            "more than 500,000 bytes",
            max_decompressed_bytes=500_000,
        ),
        _refused("ratio", lambda: zipped(("a.cif", bytes(20_000_000))), "more than 200 times its size"),
        _refused("ratio of a gzip", lambda: gzip.compress(bytes(20_000_000)), "more than 200 times its size"),
        _refused("ratio of a zstd", lambda: zstandard.compress(bytes(20_000_000)), "more than 200 times its size"),
        _refused("ratio over members", lambda: zipped(*[(f"{n}", bytes(1 << 20)) for n in range(20)]), "200 times"),
        _refused("time", lambda: zipped(*five), "takes longer than 0 s", max_seconds=0),
        Kind(
            name="bytes of a member",
            make=lambda: zipped(("a.cif", CIF * 9)),
            file="bad.zip",
            verdicts=(Reason.TOO_LARGE,),
            words="more than 1,000 bytes",
            limits=UploadLimits(max_member_bytes=1_000),
        ),
        _member("zip in a zip", lambda: zipped(("a.zip", _two())), Reason.NOT_CIF, "no archive within another"),
        _member("zips in zips", _nested, Reason.NOT_CIF, "no archive within another"),
        _member(
            "tar in a gzip in a gzip",
            lambda: gzip.compress(gzip.compress(tarred(("a", CIF)))),
            Reason.NOT_CIF,
            "no archive within another",
        ),
    ]


def _nested() -> bytes:
    data = zipped(("a.cif", bytes(1 << 20)))
    for _ in range(10):
        data = zipped(*[(f"{n}.zip", data) for n in range(1)])
    return data


def _zips() -> list[Kind]:
    return [
        _refused("members on one place", lambda: _with(_two(), _ENTRY, 42, "<L", 0), "members that overlap"),
        _refused("one member many times", _overlapping, "members that overlap"),
        _refused("data over the next member", lambda: _with(_two(), _ENTRY, 20, "<L", 200, last=False), "overlap"),
        _refused("count that lies", lambda: _with(_two(), _END, 8, "<2H", 1, 1), "lists 2 members where it says 1"),
        _refused("count of many", lambda: _with(_two(), _END, 8, "<2H", 65_000, 65_000), "damaged"),
        _refused("list elsewhere", lambda: _with(_two(), _END, 16, "<L", 0), "damaged"),
        _refused("list of 4 GB", lambda: _with(_two(), _END, 12, "<L", 0xFFFF_FFF0), "damaged"),
        _refused("member beyond the end", lambda: _with(_two(), _ENTRY, 42, "<L", 0x7FFF_FFFF), "lie outside of it"),
        _refused("member in 64 bits without them", lambda: _with(_two(), _ENTRY, 42, "<L", 0xFFFF_FFFF), "damaged"),
        _refused("two lists", _two_lists, "damaged"),
        _refused("one of several parts", lambda: _with(_two(), _END, 4, "<H", 1), "one part of several"),
        _refused("password", lambda: _with(_two(), _ENTRY, 8, "<H", 1), "encrypted"),
        _refused("garbage behind", lambda: _two() + b"<html>" * 9, "54 bytes of something else follow"),
        _refused("comment that hides an end", _hidden_end, "damaged"),
        _member("size that lies", lambda: _with(_two(), _ENTRY, 24, "<L", 9), Reason.UNREADABLE, "two ways", before=1),
        _member("size that lies twice", _too_long, Reason.UNREADABLE, "more bytes than the 9"),
        _member(
            "size of 4 GB",
            lambda: _with(_two(), _ENTRY, 24, "<L", 0xFFFF_FFF0),
            Reason.TOO_LARGE,
            "the limit of one",
            before=1,
        ),
        _member(
            "checksum",
            lambda: _with(zipped(("a.cif", CIF), method=0), b"data_test", 0, "<B", 65),
            Reason.UNREADABLE,
            "its checksum does not fit",
        ),
        _member(
            "data that do not unpack",
            lambda: _with(_two(), b"PK\3\4", 40, "<L", 0xFFFF_FFFF),
            Reason.UNREADABLE,
            "damaged within the archive",
            before=1,
        ),
        _member(
            "name that lies",
            lambda: _with(_two(), b"b.cif", 0, "<B", 99, last=False),
            Reason.UNREADABLE,
            "in two ways",
            before=1,
        ),
        _member(
            "unknown method", lambda: zipped(("a.cif", CIF), method=zipfile.ZIP_LZMA), Reason.UNREADABLE, "deflate"
        ),
        _member("link", lambda: zipped((_link(), b"/etc/passwd")), Reason.NOT_CIF, "is a link"),
    ]


def _link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link.cif")
    info.external_attr = 0o120777 << 16
    return info


def _overlapping() -> bytes:
    """One member's data, listed 1,000 times: a bomb of few bytes."""
    data = zipped(("a.cif", CIF * 50))
    begin, end = data.index(_ENTRY), data.index(_END)
    listed = data[begin:end] * 1_000
    return data[:begin] + listed + _END + struct.pack("<4H2LH", 0, 0, 1_000, 1_000, len(listed), begin, 0)


def _two_lists() -> bytes:
    """A second list of members, in 64 bits, which only some readers follow."""
    data = _two()
    begin, end = data.index(_ENTRY), data.index(_END)
    large = b"PK\6\6" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, 1, 1, end - begin, begin)
    return data[:end] + large + b"PK\6\7" + struct.pack("<LQL", 0, end, 1) + data[end:]


def _hidden_end() -> bytes:
    comment = _END + bytes(18)
    return _with(_two(), _END, 20, "<H", len(comment) + 1) + comment


def _too_long() -> bytes:
    data = zipped(("a.cif", CIF))
    return _with(_with(data, b"PK\3\4", 22, "<L", 9), _ENTRY, 24, "<L", 9)


def _tars() -> list[Kind]:
    good = tarred(("good.cif", CIF))
    devices = {"hard link": b"1", "symbolic link": b"2", "device": b"3", "block device": b"4", "pipe": b"6"}
    odd = [
        Kind(
            name=name,
            make=lambda kind=kind: _header("a", kind, link="/etc/passwd") + good,
            file="bad.tar",
            verdicts=(Reason.NOT_CIF, GOOD),
        )
        for name, kind in devices.items()
    ]
    sparse = _pax(b"22 GNU.sparse.major=1\n") + _header("s", b"0", 3) + bytes(512) + good
    return [
        *odd,
        Kind(name="sparse file", make=lambda: sparse, file="bad.tar", verdicts=(Reason.NOT_CIF, GOOD)),
        _refused("pax header of 1 GB", lambda: _header("x", b"x", 1 << 30) + bytes(9_000), "is longer than 1,048,576"),
        _refused("name of 1 GB", lambda: _header("x", b"L", 1 << 30) + bytes(9_000), "is longer than 1,048,576"),
        _refused("member of 8 GB", lambda: _header("x", b"0", 8 << 30) + bytes(9_000), "ends within a member"),
        _refused("pax size that lies", lambda: _pax(b"20 size=99999999999\n") + good, "ends within a member"),
        _refused("negative pax size", lambda: _pax(b"11 size=-1\n") + good, "a pax header is damaged"),
        _refused("pax length that lies", lambda: _pax(b"99 path=a\n") + good, "a pax header is damaged"),
        _refused("pax headers without end", lambda: gzip.compress(_pax(b"10 path=a\n") * 20_000), "times its size"),
        _refused("no end mark", lambda: good[:1024], "ends without an end mark"),
        _refused("garbage behind a tar", lambda: good + b"<html>", "something else follows its end"),
        _refused("header that changed", lambda: good[:1024] + b"!" + good[1:], "a header is damaged or missing"),
        _member("first header that changed", lambda: b"!" + good[1:], Reason.NOT_CIF, "looks like a binary file"),
    ]


def _names() -> list[Kind]:
    bad = {
        "absolute name": ("/etc/passwd", "leads out"),
        "name that climbs": ("a/../../b.cif", "leads out"),
        "name of a drive": ("C:\\b.cif", "leads out"),
        "name of an escape": ("a\x1b[31m.cif", "control character"),
        "name of two lines": ("a\nb.cif", "control character"),
        "long name": ("n" * 300 + ".cif", "304 characters; at most 255"),
        "name of blanks": ("   ", "has no name"),
    }
    kinds = []
    for title, (name, words) in bad.items():
        for suffix, pack in (("zip", zipped), ("tar", tarred)):
            kinds.append(
                Kind(
                    name=f"{title} in a {suffix}",
                    make=lambda pack=pack, name=name: pack(("good.cif", CIF), (name, CIF)),
                    file=f"bad.{suffix}",
                    verdicts=(GOOD, Reason.UNREADABLE),
                    words=words,
                )
            )
    latin = _header("caf\udce9.cif", b"0", len(CIF)) + CIF + bytes(-len(CIF) % 512) + bytes(1024)
    return [
        *kinds,
        _member("name that is no UTF-8", lambda: latin, Reason.UNREADABLE, "is not valid UTF-8", file="bad.tar"),
        Kind(name="one name twice", make=lambda: tarred(("a", CIF), ("a", CIF)), file="bad.tar", verdicts=(GOOD, GOOD)),
        _refused("names of dots", lambda: tarred(("...", CIF), ("..../a", CIF)), "The upload is empty", "bad.tar"),
    ]


def _streams() -> list[Kind]:
    huge = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=False)
    packer = zstandard.ZstdCompressor(compression_params=huge).compressobj()
    window = packer.compress(CIF) + packer.flush()
    other = "zip, tar, tar.gz or tar.zst is read"
    return [
        _refused("empty gzips", lambda: gzip.compress(CIF) + gzip.compress(b"") * 100_000, "more than 100,000 parts"),
        _refused("empty zstd frames", lambda: zstandard.compress(b"") * 100_001, "more than 100,000 parts"),
        _refused("zstd with a huge window", lambda: window, "needs a window of 1,073,741,824 bytes"),
        _refused("garbage behind a gzip", lambda: gzip.compress(CIF) + b"<html>", "Something else follows the end"),
        _refused("gzip that does not unpack", lambda: gzip.compress(CIF)[:10] + b"\xff" * 50, "damaged"),
        _refused("xz", lambda: lzma.compress(CIF), "is an xz archive; " + other),
        _refused("bzip2", lambda: b"BZh91AY&SY", other),
        _refused("7z", lambda: b"7z\xbc\xaf\x27\x1c\0\4", other),
        _refused("rar", lambda: b"Rar!\x1a\x07\1\0", other),
    ]


def _truncations() -> list[Kind]:
    noise = [(f"{n}.cif", os.urandom(4_000)) for n in range(3)]
    whole = {
        "zip": zipped(*noise),
        "tar": tarred(*noise)[: 3 * 4_608],
        "tar.gz": gzip.compress(tarred(*noise)),
        "tar.zst": zstandard.compress(tarred(*noise)),
    }
    return [
        _refused(
            f"{n} tenths of a {kind}",
            lambda data=data, n=n: data[: n * len(data) // 10],
            "pack it again",
            f"bad.{kind}",
        )
        for kind, data in whole.items()
        for n in range(1, _TRUNCATIONS)
    ]


def archive_kinds() -> list[Kind]:
    return [*_limits(), *_zips(), *_tars(), *_names(), *_streams(), *_truncations()]
