"""Checked structures as a table, as JSON and as Parquet, written as they come, and their sum."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

from validation.checking import CheckedStructure, Verdict
from validation.rules import printable

_ROW_GROUP = 10_000
_HEADINGS = ("file", "block", "formula", "atoms", "group", "verdict", "reason", "sentence")
_WIDTHS = (34, 16, 16, 5, 5, 9, 19)  # of all but the sentence, which has the rest of the line
_RIGHT = (3, 4)  # columns of numbers
_SHORTEST_SENTENCE = 30


class Report(Protocol):
    """Takes structures one after another; its file is whole once it is closed."""

    def add(self, structure: CheckedStructure) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Summary:
    """Counts by verdict and reason."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, structure: CheckedStructure) -> None:
        self.verdicts[structure.verdict] += 1
        if structure.reason is not None:
            self.reasons[structure.reason] += 1

    def close(self) -> None:
        """Nothing to write."""

    @property
    def n_structures(self) -> int:
        return self.verdicts.total()

    @property
    def all_valid(self) -> bool:
        return self.verdicts[Verdict.VALID] == self.n_structures

    def lines(self, seconds: float) -> Iterable[str]:
        parts = [f"{count:,} {verdict}" for verdict in Verdict if (count := self.verdicts[verdict])]
        rate = f"{self.n_structures / seconds:,.0f}" if seconds > 0 else "?"
        noun = "structure" if self.n_structures == 1 else "structures"
        yield f"{self.n_structures:,} {noun}: {', '.join(parts) or 'none'}; {seconds:.1f} s, {rate} a second"
        for reason, count in sorted(self.reasons.items(), key=lambda item: (-item[1], item[0])):
            yield f"{count:>9,}  {reason}"

    def to_json(self) -> dict[str, Any]:
        reasons = dict(sorted(self.reasons.items()))
        return {"structures": self.n_structures, "verdicts": dict(sorted(self.verdicts.items())), "reasons": reasons}


def heading(columns: int) -> str:
    return table_line(_HEADINGS, columns)


def row(structure: CheckedStructure, columns: int) -> str:
    atoms, group = (("" if number is None else str(number)) for number in (structure.n_atoms, structure.space_group))
    reason = structure.reason.value if structure.reason is not None else ""
    names = (structure.file, structure.block, structure.formula)
    return table_line((*names, atoms, group, structure.verdict.value, reason, structure.sentence), columns)


def table_line(cells: Sequence[str], columns: int) -> str:
    """Of so many characters; what is too wide is cut, names of files at their beginning."""
    shown = []
    for number, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=False)):
        cut = _cut(printable(cell), width, keep_end=number == 0)
        shown.append(cut.rjust(width) if number in _RIGHT else cut.ljust(width))
    rest = max(_SHORTEST_SENTENCE, columns - sum(_WIDTHS) - len(_WIDTHS))
    return " ".join((*shown, _cut(printable(cells[-1]), rest))).rstrip()


def _cut(text: str, width: int, *, keep_end: bool = False) -> str:
    if len(text) <= width:
        return text
    return "…" + text[1 - width :] if keep_end else text[: width - 1] + "…"


def record(structure: CheckedStructure) -> dict[str, Any]:
    """What machines get of a structure, in the order of the columns."""
    return {
        "file": structure.file,
        "block": structure.block,
        "line": structure.line,
        "formula": structure.formula,
        "atoms": structure.n_atoms,
        "space_group": structure.space_group,
        "verdict": structure.verdict.value,
        "reason": structure.reason.value if structure.reason is not None else None,
        "sentence": structure.sentence,
        "duplicate_of": structure.duplicate_of or None,
        "sites": list(structure.sites),
        "value": _finite(structure.value),
        "limit": _finite(structure.limit),
    }


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


class JsonReport:
    """``{"structures": [...], "summary": {...}}``, a line a structure."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("w", encoding="utf-8", errors="replace")
        self._summary = Summary()
        self._file.write('{"structures": [')

    def add(self, structure: CheckedStructure) -> None:
        comma = "," if self._summary.n_structures else ""
        self._file.write(f"{comma}\n{json.dumps(record(structure), ensure_ascii=False, allow_nan=False)}")
        self._summary.add(structure)

    def close(self) -> None:
        self._file.write(f'\n], "summary": {json.dumps(self._summary.to_json())}}}\n')
        self._file.close()


class ParquetReport:
    """The columns of ``record``."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa  # late: only where Parquet is asked for
        from pyarrow import parquet

        text, number = pa.string(), pa.int32()
        kinds = {"line": pa.int64(), "atoms": number, "space_group": number, "sites": pa.list_(number)}
        kinds |= {"value": pa.float64(), "limit": pa.float64()}
        names = record(CheckedStructure(file="", verdict=Verdict.VALID))
        self._schema = pa.schema([(name, kinds.get(name, text)) for name in names])
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def add(self, structure: CheckedStructure) -> None:
        self._rows.append(record(structure))
        if len(self._rows) >= _ROW_GROUP:
            self._write()

    def close(self) -> None:
        self._write()
        self._writer.close()

    def _write(self) -> None:
        import pyarrow as pa  # late: as above

        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()
