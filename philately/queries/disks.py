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
    found = [(name, space(Path(folder))) for name, folder in folders.items() if folder]
    return [((name,), float(free), float(max(total, 1))) for name, (free, total) in found]


def space(folder: Path) -> tuple[int, int]:
    """Free bytes, and bytes in all, of the disk where the folder is, or will be."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    found = shutil.disk_usage(there)
    return found.free, found.total
