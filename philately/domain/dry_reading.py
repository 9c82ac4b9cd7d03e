"""A dry run's work: each structure of its upload is read, checked and compared.

It is one task. Whoever does it holds the run's lease; what a worker that died had done is done again.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice

from django.db.models import F

from philately.domain import dry_runs, files, reading, twins
from philately.domain.dry_tables import table
from philately.domain.readings import upload_limits
from philately.domain.transitions import lease_end, new_token
from philately.logs import carries
from philately.models import Candidate, DryRun, Season
from philately.queries.dry_runs import FAULT, DryRow
from philately.queries.seasons import is_blind
from philately.states import DryRunState
from validation.answers import Read, Text
from validation.crystal import Crystal
from validation.gathered import Gathered
from validation.matching import find_twin
from validation.members import ArchiveRefused
from validation.rules import Reason, Rules
from validation.uploads import Found, structures_of

log = logging.getLogger(__name__)

_SAY_EVERY_S = 1.0
_COMPARED = 200  # structures looked up at a time


class LeaseLost(Exception):
    """Another worker has the run; nothing of the work in hand may be written."""


@carries("dry_run")
def carry_out(run_id: int) -> bool:
    """Read and check a run's upload; False where another worker has it or it is done."""
    run = _claim(run_id)
    if run is None:
        return False
    try:
        _read(run)
    except ArchiveRefused as refusal:
        _end(run, DryRunState.REFUSED, problem=str(refusal))
    except LeaseLost:
        log.warning("dry run %s was taken over by another worker", run.pk)
    return True


def _claim(run_id: int) -> DryRun | None:
    token = new_token()
    won = dry_runs.waiting().filter(pk=run_id).update(lease=token, lease_until=lease_end(), attempts=F("attempts") + 1)
    return DryRun.objects.select_related("owner__season__scale").get(pk=run_id, lease=token) if won else None


def _read(run: DryRun) -> None:
    """Raises ArchiveRefused and LeaseLost. The archive is looked through first: a refused one is read no further."""
    reader = Reader(run)
    said = time.monotonic()
    for n_total in reader.count():
        if time.monotonic() - said > _SAY_EVERY_S:
            said = _say(run, n_total=n_total)
    _say(run, n_total=reader.n_total)
    counts: Counter[str] = Counter()
    n_atoms = 0
    with table() as rows:
        for n_done, row in enumerate(reader.rows(), start=1):
            rows.add(row)
            counts[row.reason] += 1
            n_atoms += 0 if row.reason else row.n_atoms or 0
            if time.monotonic() - said > _SAY_EVERY_S:
                said = _say(run, n_done=n_done, counts=counts)
        table_as = rows.store(f"{dry_runs.tables_of(run)}/{run.lease}.parquet")
    told = {"n_done": counts.total(), "counts": counts, "n_atoms": n_atoms, "table_as": table_as}
    if not _end(run, DryRunState.DONE, **told):
        files.delete(table_as)
        raise LeaseLost(run.pk)


def _say(run: DryRun, **fields: object) -> float:
    """Write down how far it is, which renews the lease; returns the moment. Raises LeaseLost."""
    if DryRun.objects.filter(pk=run.pk, lease=run.lease).update(lease_until=lease_end(), **fields) != 1:
        raise LeaseLost(run.pk)
    return time.monotonic()


def _end(run: DryRun, state: DryRunState, **fields: object) -> bool:
    mine = DryRun.objects.filter(pk=run.pk, lease=run.lease, state=DryRunState.WAITING)
    return mine.update(state=state, lease=None, lease_until=None, **fields) == 1


class Reader:
    """Goes through a run's upload: ``count``, then ``rows``. One member of the archive is in memory at a time."""

    def __init__(self, run: DryRun) -> None:
        self._run = run
        self._season: Season = run.owner.season
        self._rules = Rules.from_json(self._season.rules)
        # In a blind season a dry run would ask for nothing whether others have a structure.
        self._owner_alone = run.owner_id if is_blind(self._season) else None
        self.n_total = 0

    def count(self) -> Iterator[int]:
        """How many structures there are, so far; raises ArchiveRefused where the upload is refused as a whole."""
        for number, _ in self._numbered():
            self.n_total = number
            yield number
        if not self.n_total:
            raise ArchiveRefused("there is no structure in this file")

    def rows(self) -> Iterator[DryRow]:
        """The answer to each structure, in the upload's order."""
        earlier = _Earlier(self._rules)
        checked = self._checked(self._numbered())
        while some := list(islice(checked, _COMPARED)):
            arriving = {number: read for number, _, read in some if read.crystal is not None}
            known = twins.originals_of(self._season, arriving, owner_id=self._owner_alone)
            for number, found, read in some:
                yield self._row(number, found, read, earlier, known)

    def _numbered(self) -> Iterator[tuple[int, Found]]:
        with files.open_stored(self._run.stored_as) as stream:
            found = structures_of(stream, self._run.file_name, upload_limits(), clock=time.monotonic)
            yield from enumerate(found, start=1)

    def _checked(self, numbered: Iterable[tuple[int, Found]]) -> Iterator[tuple[int, Found, Read]]:
        """Phase 1 of each, in this worker's children. What is no text stays in its place."""
        taken: deque[tuple[int, Found]] = deque()
        reads = reading.readers().read(
            _texts(numbered, taken),
            rules=self._rules,
            known_elements=frozenset(self._season.scale.identity["elements"]),
        )
        with closing(reads):
            for read in reads:
                while taken[0][1].block is None:
                    yield _unread(*taken.popleft())
                yield *taken.popleft(), read
        yield from (_unread(*item) for item in taken)

    def _row(self, number: int, found: Found, read: Read, earlier: "_Earlier", known: dict[int, Candidate]) -> DryRow:
        formula, n_atoms, reason, sentence = "", None, "", ""
        if read.crystal is not None:
            formula, n_atoms = str(read.crystal.formula), len(read.crystal)
            sentence = self._twin(number, read, earlier, known.get(number))
            reason = Reason.TWIN if sentence else ""
        elif read.rejection is not None:
            reason, sentence = read.rejection.reason, read.rejection.detail
        else:
            log.error("dry run %s: reading structure %s failed: %s", self._run.pk, number, read.fault)
            reason, sentence = FAULT, f"reading it failed, which is our fault: {read.fault}"
        return DryRow(
            number=number,
            file=files.storable(found.file),
            block=files.storable(found.block.name if found.block else ""),
            line=found.block.line if found.block else 1,
            formula=formula,
            n_atoms=n_atoms,
            reason=str(reason),
            sentence=files.storable(sentence)[:2000],
        )

    def _twin(self, number: int, read: Read, earlier: "_Earlier", known: Candidate | None) -> str:
        """Whose twin it is, in a sentence; empty where it is nobody's."""
        here = earlier.twin_of(read)
        if here is not None:
            return f"the same initial structure as number {here} of this upload"
        earlier.add(number, read)
        if known is None:
            return ""
        if known.batch.owner_id == self._run.owner_id:
            return f"the same initial structure as {known.detail.file} of your batch {known.batch_id}"
        return "the same initial structure as one submitted earlier; the first finder keeps the find"


class _Earlier:
    """Structures of the upload that stand for themselves, packed."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._gathered = Gathered(rules.twin)
        self._packed: dict[int, bytes] = {}

    def add(self, number: int, read: Read) -> None:
        assert read.crystal is not None
        self._gathered.add(number, read.fingerprints)
        self._packed[number] = read.crystal.pack()

    def twin_of(self, read: Read) -> int | None:
        assert read.crystal is not None
        near = [(number, Crystal.unpack(self._packed[number])) for number, _ in self._gathered.near(read.fingerprints)]
        return find_twin(read.crystal, near, self._rules.twin)


def _texts(numbered: Iterable[tuple[int, Found]], taken: deque[tuple[int, Found]]) -> Iterator[Text]:
    """What can be read; everything is remembered in ``taken``, without its text, for the order of the results."""
    for number, found in numbered:
        if found.block is None:
            taken.append((number, found))
        else:
            taken.append((number, replace(found, block=replace(found.block, text=""))))
            yield Text(found.block.text, found.block.line, found.block.format)


def _unread(number: int, found: Found) -> tuple[int, Found, Read]:
    return number, found, Read(rejection=found.problem)
