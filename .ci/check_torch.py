"""Is the torch that was installed of the kind that was asked for? ``python .ci/check_torch.py cpu|gpu``.

Reads its version file alone: torch itself cannot be imported before what it needs is there.
"""

import importlib.util
import re
import sys
from pathlib import Path


def cuda_of(version_file: str) -> str | None:
    """The version of CUDA that a build is for; None for CPUs."""
    found = re.search(r"^cuda\b.*=\s*(?:'([^']*)'|\"([^\"]*)\"|None)\s*$", version_file, re.M)
    if found is None:
        raise ValueError("torch/version.py does not say for what it was built")
    return found[1] or found[2]


def main() -> int:
    wanted = sys.argv[1]
    found = importlib.util.find_spec("torch")
    if wanted not in ("cpu", "gpu") or found is None or found.origin is None:
        print("TORCH is cpu or gpu, and torch is installed before this is asked")
        return 2
    cuda = cuda_of(Path(found.origin).with_name("version.py").read_text())
    if (cuda is None) == (wanted == "cpu"):
        return 0
    kind = f"CUDA {cuda}" if cuda else "CPUs"
    print(f"TORCH={wanted}, but this torch is built for {kind}: set TORCH_INDEX in .env (docker build: --build-arg),")
    print("the address of PyTorch's package index for the other kind, or TORCH for this one")
    return 1


if __name__ == "__main__":
    sys.exit(main())
