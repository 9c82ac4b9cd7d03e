"""The clock that a folder's file times go by: its file system's, which may be another machine's."""

import os
import tempfile
from pathlib import Path


def now_at(folder: Path) -> float:
    """This moment as a file would have it that was written there now; seconds since 1970."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime
