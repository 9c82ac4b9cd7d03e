"""The latest dump of a season, as it lies on disk."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from philately.models import Season

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Dump:
    """manifest: as the file says. files: name → path, the manifest and the checksums included."""

    manifest: dict[str, Any]
    files: dict[str, Path]


def latest_dump(season: Season) -> Dump | None:
    """None where nobody has written one."""
    folder = Path(settings.DUMP_DIR) / season.slug
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    except FileNotFoundError:
        return None
    return Dump(manifest, files)
