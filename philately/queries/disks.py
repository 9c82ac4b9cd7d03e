"""Free space on the disks of the machine that asks."""

import shutil
from pathlib import Path

from django.conf import settings


def disks() -> list[tuple[tuple[str], float, float]]:
    """Of each folder that this server writes to: (name,), free bytes, bytes in all. Folders on one disk show the same;
    one that nobody has made yet counts as the folder that it will be in."""
    folders = {
        "data": settings.DATA_DIR,
        "files": settings.MEDIA_ROOT,
        "staging": settings.STAGING_DIR,
        "dumps": settings.DUMP_DIR,
    }
    return [((name,), *_space(Path(folder))) for name, folder in folders.items() if folder]


def _space(folder: Path) -> tuple[float, float]:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    found = shutil.disk_usage(there)
    return float(found.free), float(max(found.total, 1))
