"""The three phases in memory, for scripts, benchmarks and tests: uploads in, one report a structure out.

The platform does the same with a database between the phases. What is here decides nothing of its own, except that a
fault of ours ends the run, where the platform would try again.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from hull.reference import Release
from validation.acceptance import accept_initial, accept_relaxed
from validation.archive import UploadLimits
from validation.auditing import Auditor, Heard, Unheard
from validation.blocks import Format
from validation.crystal import Crystal
from validation.flight import Failed, relax_alone, relax_batch
from validation.formation import Grounds
from validation.gathered import Gathered
from validation.matching import Description, find_twin
from validation.placing import Arrival, Fold, Outcome
from validation.potentials import Judge
from validation.relaxation import Relaxation
from validation.rules import Reason, Rejected, RelaxationSettings, Rules
from validation.scales import scale_digest, scale_of
from validation.scoring import Award
from validation.uploads import Found, structures_of

_T = TypeVar("_T")


class WrongRelease(ValueError):
    """The release is on another energy scale than the judge with these settings."""


class Ended(StrEnum):
    """How far a structure came; values as the platform's states have them."""

    REJECTED = "rejected"  # in phase 1 or 2
    PARKED = "parked"  # the twin of an earlier one
    PLACED = "placed"


class Stage(StrEnum):
    PARSE = "parse"
    RELAX = "relax"
    PLACE = "place"


@dataclass(frozen=True, slots=True)
class Upload:
    """What a member sends: an archive or a single file."""

    member: str
    name: str
    data: bytes

    @classmethod
    def from_path(cls, member: str, path: Path) -> Upload:
        return cls(member, path.name, path.read_bytes())


@dataclass(frozen=True, slots=True)
class Submission:
    """One data block in its place in the order of arrival, from 1; or, in place of its text, what is wrong with the
    file. line: where the text begins in the file."""

    arrival: int
    member: str
    file: str
    block: str = ""
    text: str = ""
    line: int = 1
    format: Format = Format.CIF
    problem: Rejected | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of one structure. twin_of: arrival number of the structure that it is the twin of."""

    arrival: int
    member: str
    file: str
    block: str
    ended: Ended
    formula: str = ""  # reduced; empty where it could not be read
    reason: Reason | None = None
    sentence: str = ""
    twin_of: int | None = None
    energy_per_atom: float | None = None  # eV/atom, relaxed
    outcome: Outcome | None = None  # of phase 3

    @property
    def verdict(self) -> str:
        """The class where it was placed, else how it ended."""
        return self.outcome.verdict.value if self.outcome else self.ended.value


@dataclass(frozen=True, slots=True)
class Progress:
    stage: Stage
    done: int
    total: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """What phase 1 made of a submission. crystal: the primitive cell, or why there is none; twin_of: arrival number."""

    submission: Submission
    crystal: Crystal | Rejected
    twin_of: int | None = None

    @property
    def original(self) -> Crystal | None:
        """The crystal to relax; None for what was rejected or is a twin."""
        return self.crystal if isinstance(self.crystal, Crystal) and self.twin_of is None else None


def judge_files(
    uploads: Iterable[Upload],
    judge: Judge,
    release: Release,
    *,
    rules: Rules | None = None,
    settings: RelaxationSettings | None = None,
    limits: UploadLimits | None = None,
    auditors: Sequence[tuple[Judge, Release]] = (),
    on_progress: OnProgress = lambda progress: None,
) -> list[Report]:
    """Carry uploads through all phases in the order given; one report a structure, in order of arrival.

    The caller runs ``validation.canary.check`` on the judges before. auditors: second judges with their releases, who
    relax what would be stable. Raises WrongRelease, ArchiveRefused for an upload that is refused as a whole, and what
    the judges themselves raise.
    """
    rules, settings = rules or Rules(), settings or RelaxationSettings()
    for one, theirs in ((judge, release), *auditors):
        if theirs.scale_digest != scale_digest(scale_of(one, settings)):
            raise WrongRelease(f"release {theirs.name} is not on the scale of {one.name} with these settings")
    submissions = list(read_uploads(uploads, limits))
    checked = check_submissions(_counted(submissions, Stage.PARSE, on_progress), rules, judge.elements)
    to_relax = [(item.submission.arrival, item.original) for item in checked if item.original is not None]
    relaxed = _relaxed(to_relax, judge, settings, on_progress)
    sequencer = _Sequencer(Fold.on(release, rules, _auditors(auditors)), settings, [one for one, _ in auditors])
    return [
        sequencer.report(item, relaxed.get(item.submission.arrival))
        for item in _counted(checked, Stage.PLACE, on_progress)
    ]


def read_uploads(uploads: Iterable[Upload], limits: UploadLimits | None = None) -> Iterator[Submission]:
    """Every data block of every file, numbered in order of arrival. Raises ArchiveRefused."""
    arrival = 0
    for upload in uploads:
        for found in structures_of(io.BytesIO(upload.data), upload.name, limits):
            arrival += 1
            yield _submission(arrival, upload.member, found)


def check_submissions(submissions: Iterable[Submission], rules: Rules, known_elements: frozenset[str]) -> list[Checked]:
    """Phase 1: read, check and find twins, in order of arrival. known_elements: symbols that the judge knows."""
    gathered, originals = Gathered(rules.twin), dict[int, Crystal]()
    checked = []
    for submission in submissions:
        crystal, twin_of = _parsed(submission, rules, known_elements), None
        if isinstance(crystal, Crystal):
            fingerprints = Description.of(crystal, rules.twin).fingerprints
            near = [(number, originals[number]) for number, _ in gathered.near(fingerprints)]
            twin_of = find_twin(crystal, near, rules.twin)
            if twin_of is None:  # a twin is no original for later ones
                gathered.add(submission.arrival, fingerprints)
                originals[submission.arrival] = crystal
        checked.append(Checked(submission, crystal, twin_of))
    return checked


def awards_of(reports: Iterable[Report]) -> list[tuple[str, Award]]:
    """Every entry of the ledger, in order, with the member whose points it changes."""
    reports = list(reports)
    member_of = {report.arrival: report.member for report in reports}
    return [
        (member_of[award.candidate], award) for report in reports if report.outcome for award in report.outcome.awards
    ]


def points_of(reports: Iterable[Report]) -> dict[str, float]:
    """Points by member, provisional ones included; most first, then by name."""
    points: dict[str, float] = defaultdict(float)
    for member, award in awards_of(reports):
        points[member] += award.points
    return dict(sorted(points.items(), key=lambda item: (-item[1], item[0])))


def _submission(arrival: int, sender: str, found: Found) -> Submission:
    block = found.block
    if block is None:
        return Submission(arrival, sender, found.file, problem=found.problem)
    return Submission(arrival, sender, found.file, block.name, block.text, block.line, block.format)


def _parsed(submission: Submission, rules: Rules, known_elements: frozenset[str]) -> Crystal | Rejected:
    if submission.problem is not None:
        return submission.problem
    try:
        text, line = submission.text, submission.line
        return accept_initial(text, rules, known_elements, format=submission.format, first_line=line)
    except Rejected as rejection:
        return rejection


def _relaxed(
    to_relax: Sequence[tuple[int, Crystal]], judge: Judge, settings: RelaxationSettings, on_progress: OnProgress
) -> dict[int, Relaxation]:
    """By arrival number, in that order."""
    relaxed: dict[Hashable, Relaxation] = {}
    for ended in relax_batch(to_relax, judge, settings):
        if isinstance(ended, Failed):
            raise ended.error
        relaxed[ended.key] = ended.relaxation
        on_progress(Progress(Stage.RELAX, len(relaxed), len(to_relax)))
    return {arrival: relaxed[arrival] for arrival, _ in to_relax}


def _auditors(pairs: Iterable[tuple[Judge, Release]]) -> tuple[Auditor, ...]:
    return tuple(Auditor(f"{judge.name} {judge.model}".strip(), Grounds.of(release)) for judge, release in pairs)


class _Sequencer:
    """Phase 3 and the reports. Members become numbers in the order in which they appear.

    judges: of the fold's auditors, in their order.
    """

    def __init__(self, fold: Fold, settings: RelaxationSettings, judges: Sequence[Judge] = ()) -> None:
        self.fold = fold
        self.settings = settings
        self._judges = judges
        self._members: dict[str, int] = {}

    def report(self, item: Checked, relaxed: Relaxation | None) -> Report:
        crystal = item.crystal
        if isinstance(crystal, Rejected):
            return _report(item, Ended.REJECTED, reason=crystal.reason, sentence=crystal.detail)
        if relaxed is None:
            sentence = f"the same initial structure as number {item.twin_of}"
            return _report(item, Ended.PARKED, reason=Reason.TWIN, sentence=sentence)
        try:
            accept_relaxed(crystal, relaxed.crystal, relaxed, rules=self.fold.rules, settings=self.settings)
        except Rejected as rejection:
            return _report(item, Ended.REJECTED, reason=rejection.reason, sentence=rejection.detail)
        arrival = self._arrival(item.submission, relaxed)
        try:
            outcome = self.fold.place(arrival)
        except Unheard:
            outcome = self.fold.place(replace(arrival, heard=self._heard(relaxed.crystal)))
        return _report(
            item,
            Ended.PLACED,
            reason=outcome.reason,
            sentence=outcome.sentence,
            energy_per_atom=relaxed.energy_per_atom,
            outcome=outcome,
        )

    def _heard(self, crystal: Crystal) -> dict[str, Heard]:
        """What those auditors say of it that have an opinion."""
        asked = [
            (auditor.name, judge)
            for auditor, judge in zip(self.fold.auditors, self._judges, strict=True)
            if auditor.is_asked_about(crystal.formula)
        ]
        return {name: Heard.of(relax_alone(crystal, judge, self.settings)) for name, judge in asked}

    def _arrival(self, submission: Submission, relaxed: Relaxation) -> Arrival:
        member = self._members.setdefault(submission.member, len(self._members) + 1)
        crystal = relaxed.crystal
        return Arrival(submission.arrival, member, crystal.formula, relaxed.energy_per_atom, lambda: crystal)


def _report(
    item: Checked,
    ended: Ended,
    *,
    reason: Reason | None,
    sentence: str,
    energy_per_atom: float | None = None,
    outcome: Outcome | None = None,
) -> Report:
    submission = item.submission
    return Report(
        arrival=submission.arrival,
        member=submission.member,
        file=submission.file,
        block=submission.block,
        ended=ended,
        formula=str(item.crystal.formula) if isinstance(item.crystal, Crystal) else "",
        reason=reason,
        sentence=sentence,
        twin_of=item.twin_of,
        energy_per_atom=energy_per_atom,
        outcome=outcome,
    )


def _counted(items: Sequence[_T], stage: Stage, on_progress: OnProgress) -> Iterator[_T]:
    """The items, each reported once it is dealt with."""
    for done, item in enumerate(items):
        yield item
        on_progress(Progress(stage, done + 1, len(items)))
