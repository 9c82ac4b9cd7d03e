"""Are the pinned runtime dependencies known to be vulnerable? ``make lint`` asks, within seconds.

    python .ci/audit.py [--time-limit SECONDS] [OPTIONS OF PIP-AUDIT]

Ends with 1 where one is, with a line for each; with 0 where none is, and where nobody could be asked in time, which one
line says. An advisory that does not concern this project stands in ``.ci/audit-ignored`` with the reason, one a line.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
IGNORED = FOLDER / "audit-ignored"
REQUIREMENTS = FOLDER.parent / "requirements.txt"


def ignored(text: str) -> dict[str, str]:
    """Reasons by advisory. Raises ValueError where one has none."""
    reasons = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            advisory, _, reason = line.strip().partition(" ")
            if not reason.strip():
                raise ValueError(f"{advisory} is ignored without a reason")
            reasons[advisory] = reason.strip()
    return reasons


def report(requirements: Path, reasons: dict[str, str], time_limit_s: float, options: list[str]) -> dict | None:
    """What pip-audit found, as it prints it; None where it got no answer. What it says besides is not shown: it names
    addresses and says in twenty lines that the network is away."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "5", *options]
    command += [part for advisory in reasons for part in ("--ignore-vuln", advisory)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=time_limit_s, check=False)
        return json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requirements", type=Path, default=REQUIREMENTS)
    parser.add_argument("--ignored", type=Path, default=IGNORED)
    parser.add_argument("--time-limit", type=float, default=40.0, metavar="SECONDS")
    given, options = parser.parse_known_args()
    found = report(given.requirements, ignored(given.ignored.read_text()), given.time_limit, options)
    audited = [one for one in found["dependencies"] if "vulns" in one] if found else []
    if found is None or not audited:  # behind a mirror that has no advisories each package is unknown
        print("audit: no advisories could be had in time; the dependencies are not audited this time")
        return 0
    bad = [one for one in audited if one["vulns"]]
    for one in bad:
        for vulnerability in one["vulns"]:
            fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
            print(f"audit: {one['name']} {one['version']} has {vulnerability['id']}, mended by {fixed}")
    skipped = len(found["dependencies"]) - len(audited)
    print(f"audit: {len(audited)} dependencies, {len(bad)} vulnerable" + (f", {skipped} not known" if skipped else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
