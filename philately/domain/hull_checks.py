"""What is stored of a run's hull, compared with the hull rebuilt: points, the fold of the log, stable phases."""

from collections.abc import Callable, Iterable

from hull.entries import Formula
from hull.positions import HullPoint as Point
from hull.store import LP_TOLERANCE, HullStore
from philately.domain.discrepancies import Findings, Kind, phase_at
from philately.domain.rebuilding import CHUNK, Rebuilt, chunked, same_energy
from philately.models import HullPoint, LogEntry, Phase, Run
from philately.states import LogKind

BORDER_EV_PER_ATOM = 1e-11  # a depth so near LP_TOLERANCE may be called either way

_Stored = tuple[str, str, float | None, float, int, bool]
_CAME = frozenset({LogKind.STABLE, LogKind.RESTORED})


def check_points(run: Run, hull: HullStore, findings: Findings, keep: Callable[[], None]) -> int:
    """Compare every composition's row; returns how many compositions the hull has."""
    names = ("formula", "chemical_system", "hull_energy", "lowest_energy", "lowest_phase", "is_vertex")
    rows = HullPoint.objects.filter(run=run).order_by("formula").values_list(*names)
    n_known = 0
    for some in chunked(rows.iterator(CHUNK), CHUNK):
        keep()
        n_known += sum(_check_point(row, hull, findings) for row in some)
    n_compositions = 0
    for points in chunked(hull.points(), CHUNK):
        keep()
        n_compositions += len(points)
    if n_compositions != n_known:
        _add_missing_points(run, hull, findings, keep)
    return n_compositions


def _check_point(row: _Stored, hull: HullStore, findings: Findings) -> bool:
    """Whether the hull has this composition at all; adds what differs."""
    formula, chemical_system, hull_energy, lowest_energy, lowest_phase, is_vertex = row
    point = hull.point(Formula.parse(formula))
    where = phase_at(formula, lowest_phase)
    if point is None:
        findings.add(Kind.POINT, where, stored="there", rebuilt="no phase on record")
        return False
    if chemical_system != point.formula.chemical_system:
        findings.add(Kind.CHEMICAL_SYSTEM, where, stored=chemical_system, rebuilt=point.formula.chemical_system)
    if not same_energy(hull_energy, point.hull_energy):
        findings.add(Kind.HULL_ENERGY, where, stored=hull_energy, rebuilt=point.hull_energy)
    if not same_energy(lowest_energy, point.lowest_energy):
        findings.add(Kind.LOWEST_ENERGY, where, stored=lowest_energy, rebuilt=point.lowest_energy)
    if lowest_phase != point.lowest_entry:
        findings.add(Kind.LOWEST_PHASE, formula, stored=lowest_phase, rebuilt=point.lowest_entry)
    if is_vertex != point.is_vertex and not is_borderline(point):
        findings.add(Kind.VERTEX, where, stored=_yes_or_no(is_vertex), rebuilt=_yes_or_no(point.is_vertex))
    return True


def _add_missing_points(run: Run, hull: HullStore, findings: Findings, keep: Callable[[], None]) -> None:
    for points in chunked(hull.points(), 500):
        keep()
        numbers = {str(point.formula): point.lowest_entry for point in points}
        stored = HullPoint.objects.filter(run=run, formula__in=numbers).values_list("formula", flat=True)
        for formula in sorted(numbers.keys() - set(stored)):
            where = phase_at(formula, numbers[formula])
            findings.add(Kind.POINT, where, stored="missing", rebuilt="on record")


def is_borderline(point: Point) -> bool:
    """Whether rounding alone decides that a composition is a vertex."""
    if point.hull_energy is None:
        return False
    return abs(point.hull_energy - point.lowest_energy - LP_TOLERANCE) < BORDER_EV_PER_ATOM


def check_log(run: Run, rebuilt: Rebuilt, findings: Findings, keep: Callable[[], None]) -> int:
    """Fold the log from what was stable at first; it must give what is stable now. Returns how many entries it has."""
    stable = set(rebuilt.stable_at_first)
    expected = 1
    n_entries = 0
    rows = LogEntry.objects.filter(run=run).order_by("position")
    for some in chunked(rows.values_list("position", "kind", "phase__number", "phase__formula").iterator(CHUNK), CHUNK):
        keep()
        n_entries += len(some)
        for position, kind, number, formula in some:
            if position != expected:
                findings.add(Kind.LOG_POSITION, phase_at(formula, number), stored=position, rebuilt=expected)
            expected = position + 1
            _fold(position, kind, stable, findings, number=number, formula=formula)
    _compare_stable(run, stable, rebuilt.hull, findings)
    return n_entries


def _fold(position: int, kind: str, stable: set[int], findings: Findings, *, number: int, formula: str) -> None:
    where = f"{phase_at(formula, number)}, log position {position}"
    if kind in _CAME:
        if number in stable:
            findings.add(Kind.EVENT, where, stored=kind, rebuilt="on the hull already")
        stable.add(number)
    elif kind == LogKind.DETHRONED:
        if number not in stable:
            findings.add(Kind.EVENT, where, stored=kind, rebuilt="not on the hull")
        stable.discard(number)


def _compare_stable(run: Run, folded: set[int], hull: HullStore, findings: Findings) -> None:
    rebuilt = set(hull.stable_entries())
    for some in chunked(iter(sorted(folded ^ rebuilt)), 500):
        for number, formula in _formulas(run, some):
            point = hull.point(Formula.parse(formula))
            if point is None or not is_borderline(point):
                in_log, now = number in folded, number in rebuilt
                where = phase_at(formula, number)
                findings.add(Kind.STABLE, where, stored=_yes_or_no(in_log), rebuilt=_yes_or_no(now))


def _formulas(run: Run, numbers: Iterable[int]) -> list[tuple[int, str]]:
    rows = Phase.objects.filter(run=run, number__in=numbers).order_by("number")
    return list(rows.values_list("number", "formula"))


def _yes_or_no(flag: bool) -> str:
    return "yes" if flag else "no"
