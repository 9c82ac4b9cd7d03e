"""``python -m validation check FILES…``: what a season would say of one's own structures. And what else there is."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from hull.entries import ATOMIC_NUMBER
from validation import shard_command
from validation.check_reports import JsonReport, ParquetReport, Report, Summary, heading, row
from validation.checking import CheckedStructure, check_files, default_elements, mark_duplicates
from validation.potentials import judge_names, load_judge
from validation.rules import Rules
from validation.sources import STDIN, OnProgress, files_of

_SPOOLED_BYTES = 1 << 24  # of standard input in memory
_INTERRUPTED = 130  # what shells have for it
_COLUMNS_OF_A_FILE = 10_000  # where nobody looks, nothing is cut
_EPILOG = """\
Nothing is relaxed: what is valid here can still be rejected for how its relaxation ends, or turn out to be a duplicate
of what is known.

verdicts: valid · duplicate (of an earlier one of these files) · rejected (a rule is broken; the sentence says which) ·
refused (a file as a whole; what was read of it before stands) · failed (our fault, please report it)

exit status: 0 all are valid · 1 some are not · 2 the command line was not understood · 130 interrupted by Ctrl-C, which
still reports what has been read by then, without looking for duplicates

examples:
  python -m validation check batch.zip
  python -m validation check folder/ other.cif --json verdicts.json --jobs 4
  curl … | python -m validation check - --no-duplicates --quiet
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status; argparse ends the process with 2 where the command line is not understood."""
    options = _parser().parse_args(arguments)
    status: int = options.run(options)
    return status


def _check(options: argparse.Namespace) -> int:
    with ExitStack() as stack:
        try:
            command = _Command(
                options=options,
                files=files_of(options.files),
                rules=_rules(options.rules),
                elements=_elements(options),
                stdin=_spooled(stack) if STDIN in options.files else None,
                reports=_reports(options, stack),
            )
        except (OSError, ValueError, TypeError) as error:
            options.error(str(error))
        return command.run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m validation", description="Look at crystal structures.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="read structures and say what is wrong with them, without relaxing them",
        description="Read CIFs and archives of them as a season does: every structure gets a verdict with its reason.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = check.add_argument
    add(
        "files", nargs="+", metavar="FILES", help="CIFs, archives, folders with such files in them; - is standard input"
    )
    known = check.add_mutually_exclusive_group()
    known.add_argument(
        "--elements",
        metavar="LIST",
        help="allow these, such as Na,Cl,O; without it H to Pu except those that the rules exclude",
    )
    known.add_argument(
        "--judge-elements",
        metavar="JUDGE",
        help=f"allow what a judge knows: {', '.join(judge_names())}; matgl=MODEL names a model. It is loaded for that",
    )
    add("--rules", type=Path, metavar="FILE", help='limits that differ from the default, as JSON: {"max_atoms": 100}')
    add("--json", type=Path, metavar="FILE", help="also write everything to FILE, with sites and numbers")
    add("--parquet", type=Path, metavar="FILE", help="the same as a table for pandas, polars and DuckDB")
    add("--jobs", type=_count, metavar="N", help="processes that read; without it one a core")
    add("--exact", action="store_true", help="duplicates: exact copies only, as seasons compare before relaxation")
    add("--no-duplicates", action="store_true", help="do not compare them; lines then come as structures are read")
    add("--quiet", action="store_true", help="the summary only")
    check.set_defaults(run=_check, error=check.error)
    shard_command.add_to(commands)
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes; at least 1 is needed")
    return int(text)


def _rules(path: Path | None) -> Rules:
    data = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds no JSON object of rules")
    return Rules.from_json(data)


def _elements(options: argparse.Namespace) -> frozenset[str]:
    if options.judge_elements:
        name, _, model = options.judge_elements.partition("=")
        return load_judge(name, model).elements
    if options.elements is None:
        return default_elements()
    symbols = frozenset(options.elements.replace(",", " ").split())
    unknown = sorted(symbols - set(ATOMIC_NUMBER))
    if unknown or not symbols:
        raise ValueError(f"--elements: {', '.join(unknown) or 'nothing'} names no element")
    return symbols


def _spooled(stack: ExitStack) -> BinaryIO:
    """Standard input where archives can be read from any place of it."""
    file = tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115 - the stack closes it
    stack.callback(file.close)
    shutil.copyfileobj(sys.stdin.buffer, file)
    file.seek(0)
    return file  # type: ignore[return-value]


def _reports(options: argparse.Namespace, stack: ExitStack) -> list[Report]:
    """Opened before anything is read, so that a wrong path does not cost the result."""
    reports: list[Report] = []
    for path, kind in ((options.json, JsonReport), (options.parquet, ParquetReport)):
        if path is not None:
            reports.append(kind(path))
            stack.callback(reports[-1].close)
    return reports


@dataclass(slots=True, kw_only=True)
class _Command:
    """``check`` with what its options mean."""

    options: argparse.Namespace
    files: list[str]
    rules: Rules
    elements: frozenset[str]
    stdin: BinaryIO | None
    reports: list[Report]
    summary: Summary = field(default_factory=Summary)

    def run(self) -> int:
        started = time.perf_counter()
        if not self.options.quiet:
            tqdm.write(heading(_columns()))
        interrupted = self._check()
        for line in self.summary.lines(time.perf_counter() - started):
            print(line)
        if interrupted:
            print("interrupted: this is what had been read, not compared with each other", file=sys.stderr)
            return _INTERRUPTED
        return 0 if self.summary.all_valid else 1

    def _check(self) -> bool:
        """Whether Ctrl-C ended it; then what was read so far is reported as it is."""
        kept: list[CheckedStructure] = []
        interrupted = False
        try:
            for structure in self._read():
                if self.options.no_duplicates:
                    self._report(structure)
                else:
                    kept.append(structure)
            kept = self._marked(kept)
        except KeyboardInterrupt:
            interrupted = True
        for structure in kept:
            self._report(structure)
        return interrupted

    def _read(self) -> Iterator[CheckedStructure]:
        with self._bar("reading", unit="B", unit_scale=True) as bar:
            yield from check_files(
                self.files,
                self.rules,
                elements=self.elements,
                jobs=self.options.jobs,
                stdin=self.stdin,
                on_progress=_shown_on(bar),
            )

    def _marked(self, structures: list[CheckedStructure]) -> list[CheckedStructure]:
        tolerances = self.rules.twin if self.options.exact else self.rules.duplicate
        with self._bar("comparing", unit=" structures") as bar:
            return mark_duplicates(structures, tolerances=tolerances, on_progress=_shown_on(bar))

    def _report(self, structure: CheckedStructure) -> None:
        with _whole():
            if not self.options.quiet:
                tqdm.write(row(structure, _columns()))  # it moves the bar out of the way
            for report in (self.summary, *self.reports):
                report.add(structure)

    def _bar(self, what: str, **options: object) -> tqdm[None]:
        return tqdm(desc=what, disable=self.options.quiet or None, leave=False, **options)


@contextmanager
def _whole() -> Iterator[None]:
    """Ctrl-C counts at the end of the block, so that no report has half a structure."""
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _shown_on(bar: tqdm[None]) -> OnProgress:
    def show(done: int, total: int) -> None:
        bar.total = total or None
        bar.update(done - bar.n)

    return show


def _columns() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _COLUMNS_OF_A_FILE


if __name__ == "__main__":
    sys.exit(main())
