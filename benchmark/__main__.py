"""``python -m benchmark NAME``: measure, print a table, write the figures as JSON."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from benchmark.machine import machine, versions

BENCHMARKS = {
    "batch": "benchmark.batch",
    "dump": "benchmark.dump",
    "held": "benchmark.held",
    "hull": "benchmark.hull",
    "match": "benchmark.match",
    "pages": "benchmark.pages",
    "place": "benchmark.place",
    "read": "benchmark.read",
    "relax": "benchmark.relax",
    "season": "benchmark.season",
}  # imported only when asked for: some need Django
SIZE_SUFFIX = re.compile(r"_(1e\d+)$")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0; argparse ends the process with 2 where the command line is not understood."""
    parser = _parser()
    options, others = parser.parse_known_args(arguments)
    if options.list or options.help:
        print(_listing() if options.list else _help(parser, options.name))
        return 0
    if options.name not in BENCHMARKS:
        asked = f"there is no benchmark {options.name!r}." if options.name else "which benchmark?"
        parser.error(f"{asked} Choose from: {', '.join(BENCHMARKS)}")
    if find_spec(BENCHMARKS[options.name]) is None:
        parser.error(f"{options.name!r} is not part of this installation")
    started = time.perf_counter()
    module = importlib.import_module(BENCHMARKS[options.name])
    own = vars(_own_parser(options.name).parse_args(others))
    figures: dict[str, float] = module.measure(quick=options.quick, full=options.full, say=_say, **own)
    print(_table(figures, module))
    _say(f"measured in {time.perf_counter() - started:.0f} s")
    if options.json:
        _write(options.json, figures)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark",
        description="Measure what the code costs. Speeds are in CPU time of one core unless their name says otherwise.",
        epilog="benchmarks:\n" + _listing(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this, and the options of NAME alone, and end")
    parser.add_argument("name", nargs="?", metavar="NAME", help="which benchmark: " + ", ".join(BENCHMARKS))
    parser.add_argument("--list", action="store_true", help="name the benchmarks and end")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write figures, machine and versions to FILE")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="small sizes, within a minute: for errors, not for speed")
    extent.add_argument("--full", action="store_true", help="the largest sizes, too")
    return parser


def _own_parser(name: str) -> argparse.ArgumentParser:
    """What a benchmark's ``add_options`` says of options that are not for all of them."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmark {name}", add_help=False)
    getattr(importlib.import_module(BENCHMARKS[name]), "add_options", _add_none)(parser)
    return parser


def _add_none(parser: argparse.ArgumentParser) -> None:
    """Most benchmarks have no options of their own."""


def _help(parser: argparse.ArgumentParser, name: str | None) -> str:
    """Of all benchmarks, and of one's own options where it is named."""
    own = f"\n{_own_parser(name).format_help()}" if name in BENCHMARKS else ""
    return parser.format_help() + own


def _listing() -> str:
    """A line a benchmark: its name and the first line of its docstring, read without importing it."""
    return "\n".join(f"  {name:<8} {_purpose(module)}" for name, module in BENCHMARKS.items())


def _purpose(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return "(not part of this installation)"
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _table(figures: Mapping[str, float], module: ModuleType) -> str:
    """Name, value, and what the benchmark says about it under the name without its size."""
    meanings: Mapping[str, str] = getattr(module, "MEANINGS", {})
    width = max(map(len, figures), default=0)
    lines = []
    for name, value in figures.items():
        size = SIZE_SUFFIX.search(name)
        meaning = meanings.get(SIZE_SUFFIX.sub("", name), "")
        lines.append(f"{name:<{width}}  {_number(value):>12}  {meaning}{f' at {size[1]} entries' if size else ''}")
    return "\n".join(line.rstrip() for line in lines)


def _number(value: float) -> str:
    """Four digits that mean something, whole numbers whole."""
    if value == int(value) or abs(value) >= 1e4:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _write(path: Path, figures: Mapping[str, float]) -> None:
    content = {"figures": dict(figures), "machine": machine(), "versions": versions()}
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
