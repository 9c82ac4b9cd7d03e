"""The latest dump of a season, as it lies on disk."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from philately.models import Run, Season

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Dump:
    """manifest: as the file says. files: name → path, the manifest and the checksums included."""

    manifest: dict[str, Any]
    files: dict[str, Path]

    @property
    def age_s(self) -> float:
        """Seconds since it was written; 0 while it is being replaced."""
        try:
            return max(0.0, time.time() - self.files[MANIFEST].stat().st_mtime)
        except FileNotFoundError:
            return 0.0

    def shows(self, run: Run) -> bool:
        """Whether it is of this run as it is now."""
        return bool(self.manifest["run"] == state_of(run))


def state_of(run: Run) -> dict[str, int]:
    """How far a run is, as manifests have it."""
    return {"number": run.number, "placed_to": run.placed_to, "log_position": run.log_position}


def latest_dump(season: Season) -> Dump | None:
    """None where nobody has written one."""
    folder = Path(settings.DUMP_DIR) / season.slug
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    except FileNotFoundError:
        return None
    return Dump(manifest, files)
