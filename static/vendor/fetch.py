"""Copy the front-end packages into this folder: ``python static/vendor/fetch.py``.

Each file is recorded in MANIFEST.json with its package, version, licence and SHA-256. Pages ask no other host for
anything, so what is not here is not used. Needs npm; run it again after changing a version below.
"""

import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Package:
    name: str
    version: str
    files: tuple[str, ...]
    licence_file: str = "LICENSE"


PACKAGES = (
    Package("bootstrap", "5.3.8", ("dist/css/bootstrap.min.css",)),
    Package("htmx.org", "2.0.11", ("dist/htmx.min.js",)),
    Package("tus-js-client", "4.3.1", ("dist/tus.min.js",)),
)
# The manifest storage looks for every file that another one names, and the maps are not shipped.
_SOURCE_MAP = re.compile(rb"/\*# sourceMappingURL=[^*]*\*/\s*|//# sourceMappingURL=\S*\s*")


def fetch(package: Package, scratch: Path) -> list[dict[str, str]]:
    """Unpack one package and copy its files and licence; returns their rows of the manifest."""
    packed = subprocess.run(
        ["npm", "pack", "--silent", f"{package.name}@{package.version}"],
        cwd=scratch,
        check=True,
        capture_output=True,
        text=True,
    )
    with tarfile.open(scratch / packed.stdout.strip().splitlines()[-1]) as archive:
        archive.extractall(scratch / package.name, filter="data")
    root = scratch / package.name / "package"
    licence = json.loads((root / "package.json").read_text())["license"]
    folder = HERE / package.name
    folder.mkdir(exist_ok=True)
    rows = []
    for source in (*package.files, package.licence_file):
        content = _SOURCE_MAP.sub(b"", (root / source).read_bytes())
        target = folder / Path(source).name
        target.write_bytes(content)
        rows.append(
            {
                "name": package.name,
                "version": package.version,
                "licence": licence,
                "file": target.relative_to(HERE).as_posix(),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row for package in PACKAGES for row in fetch(package, Path(scratch))]
    (HERE / "MANIFEST.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
