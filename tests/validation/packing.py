"""Archives made of members in memory, and read under limits."""

import io
import tarfile
import zipfile

import pytest
import zstandard

from validation.archive import UploadLimits, open_upload

CIF = b"data_NaCl\n_cell_length_a 4\n"


def read(data, name="upload", **limits):
    return list(open_upload(io.BytesIO(data), name, UploadLimits(**limits)))


def zipped(members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def tarred(members, mode="w", form=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            else:
                info.type, info.linkname = data.encode(), "target.cif"
                archive.addfile(info)
    return out.getvalue()


def tgz(members):
    return tarred(members, "w:gz")


def tzst(members):
    return zstandard.compress(tarred(members))


ARCHIVES = pytest.mark.parametrize("pack", [zipped, tarred, tgz, tzst], ids=["zip", "tar", "tar.gz", "tar.zst"])
