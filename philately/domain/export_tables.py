"""The tables of an export: which rows, which columns, and what each of them means.

Nothing that is a person's or a secret is among them: members go by their public names, without e-mail, password or key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from django.db.models import QuerySet

from philately.models import (
    AuditEntry,
    Batch,
    Candidate,
    Decision,
    LogEntry,
    Membership,
    Opinion,
    Phase,
    Placement,
    RelaxationFact,
    Rerun,
    Round,
    Run,
    RunExclusion,
    ScoreEntry,
    Season,
    Withdrawal,
)

_TEXT, _WHOLE, _NUMBER, _YES, _BYTES = pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.binary()
_WHEN = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Column:
    """path: from the row, as Django has it."""

    name: str
    type: Any
    path: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    meaning: str
    rows: Callable[[Season], QuerySet[Any]]
    columns: tuple[Column, ...]

    @property
    def schema(self) -> Any:
        return pa.schema([pa.field(c.name, c.type, metadata={"meaning": c.meaning}) for c in self.columns])


def _column(path: str, type: Any, meaning: str, name: str = "") -> Column:
    return Column(name or path, type, path, meaning)


def _of_candidates(season: Season) -> QuerySet[RelaxationFact]:
    mine = Candidate.objects.filter(season=season, relaxation__isnull=False)
    return RelaxationFact.objects.filter(pk__in=mine.values("relaxation"))


_CANDIDATE = _column("candidate_id", _WHOLE, "id in candidates", "candidate")
_RUN = _column("run__number", _WHOLE, "number of the run", "run")
_BY = _column("by__username", _TEXT, "public name of who did it", "by")
_REASON = _column("reason", _TEXT, "why, in their words")

TABLES: tuple[Table, ...] = (
    Table(
        "members",
        "who took part as what",
        lambda season: Membership.objects.filter(season=season),
        (
            _column("pk", _WHOLE, "id", "member"),
            _column("user__username", _TEXT, "public name", "name"),
            _column("role", _TEXT, "participant or organiser"),
            _column("joined_at", _WHEN, "when"),
        ),
    ),
    Table(
        "batches",
        "uploads",
        lambda season: Batch.objects.filter(season=season),
        (
            _column("pk", _WHOLE, "id", "batch"),
            _column("owner_id", _WHOLE, "id in members", "member"),
            _column("sha256", _TEXT, "of the file"),
            _column("file_name", _TEXT, "as it was sent"),
            _column("n_bytes", _WHOLE, "of the file"),
            _column("n_counted", _WHOLE, "structures in it"),
            _column("method", _TEXT, "how the structures were made, in the owner's words"),
            _column("method_description", _TEXT, "the same at length"),
            _column("licence", _TEXT, "data licence that the owner consented to"),
            _column("submitted_at", _WHEN, "when"),
            _column("state", _TEXT, "uploaded, read, refused or set_aside"),
            _column("problem", _TEXT, "why it was refused or set aside"),
        ),
    ),
    Table(
        "candidates",
        "structures of batches, those that were rejected included",
        lambda season: Candidate.objects.filter(season=season),
        (
            _column("pk", _WHOLE, "id", "candidate"),
            _column("batch_id", _WHOLE, "id in batches", "batch"),
            _column("arrival", _WHOLE, "place in the order of arrival"),
            _column("state", _TEXT, "where it stands"),
            _column("reason", _TEXT, "reason code of a rejection before placement"),
            _column("detail__sentence", _TEXT, "why it was rejected, parked, failed or set aside", "sentence"),
            _column("formula", _TEXT, "reduced, elements in alphabetical order"),
            _column("n_atoms", _WHOLE, "in the primitive cell"),
            _column("content_hash", _TEXT, "of the initial structure"),
            _column("twin_of_id", _WHOLE, "id of the candidate whose fate it shares", "twin_of"),
            _column("relaxation_id", _WHOLE, "id in relaxations", "relaxation"),
            _column("detail__file", _TEXT, "in its batch", "file"),
            _column("detail__block", _TEXT, "in its file", "block"),
            _column("detail__geometry", _BYTES, "primitive cell as submitted, a packed crystal", "geometry"),
        ),
    ),
    Table(
        "relaxations",
        "what the judge made of initial structures",
        _of_candidates,
        (
            _column("pk", _WHOLE, "id", "relaxation"),
            _column("initial_hash", _TEXT, "content hash of the initial structure"),
            _column("scale__digest", _TEXT, "SHA-256 of the energy scale", "scale"),
            _column("formula", _TEXT, "reduced"),
            _column("n_sites", _WHOLE, "atoms"),
            _column("stopped", _TEXT, "why it ended"),
            _column("energy_per_atom", _NUMBER, "eV/atom"),
            _column("fmax_ev_per_ang", _NUMBER, "largest force norm, eV/Å"),
            _column("smax_ev_per_ang3", _NUMBER, "largest stress component, eV/Å³"),
            _column("rmsd_ang", _NUMBER, "how far the atoms moved within the cell, Å"),
            _column("volume_change", _NUMBER, "relative to the initial structure"),
            _column("steps", _WHOLE, "of the optimiser"),
            _column("seconds", _NUMBER, "that it took"),
            _column("space_group_number", _WHOLE, "of the relaxed cell"),
            _column("prototype_label", _TEXT, "of the relaxed cell, AFLOW's notation"),
            _column("provenance__device", _TEXT, "where it was made", "device"),
            _column("created_at", _WHEN, "when"),
            _column("geometry__crystal", _BYTES, "the relaxed cell, a packed crystal", "geometry"),
            _column("geometry__forces", _BYTES, "float64, (n, 3), eV/Å", "forces"),
            _column("geometry__stress", _BYTES, "float64, (6,), eV/Å³, Voigt order", "stress"),
        ),
    ),
    Table(
        "runs",
        "evaluations of the season's facts",
        lambda season: Run.objects.filter(season=season),
        (
            _column("number", _WHOLE, "of the run", "run"),
            _column("release__name", _TEXT, "what it is judged against", "release"),
            _column("release__sha256", _TEXT, "of the release file", "release_sha256"),
            _column("rules_digest", _TEXT, "SHA-256 of its rules"),
            _column("placed_to", _WHOLE, "arrival number up to which everything is placed"),
            _column("log_position", _WHOLE, "last entry of its hull log"),
            _column("reason", _TEXT, "why it was made"),
            _column("created_at", _WHEN, "when"),
        ),
    ),
    Table(
        "placements",
        "verdicts, in every run",
        lambda season: Placement.objects.filter(run__season=season),
        (
            _RUN,
            _CANDIDATE,
            _column("verdict", _TEXT, "on arrival"),
            _column("reason", _TEXT, "reason code"),
            _column("sentence", _TEXT, "why"),
            _column("phase__number", _WHOLE, "number in phases", "phase"),
            _column("energy_per_atom", _NUMBER, "eV/atom"),
            _column("formation_energy_per_atom", _NUMBER, "eV/atom, against the release"),
            _column("e_above_hull_on_arrival", _NUMBER, "eV/atom, signed, against everything placed before"),
            _column("decomposition_energy", _NUMBER, "eV/atom, signed, against all other compositions"),
            _column("is_novel", _YES, "not in the release; none where that is not defined"),
            _column("log_position", _WHOLE, "of the hull log then"),
            _column("placed_at", _WHEN, "when"),
            _column("withdrawn_after", _WHOLE, "arrival number after which it was taken out"),
            _column("decision_id", _WHOLE, "id in decisions", "decision"),
        ),
    ),
    Table(
        "phases",
        "accepted unique structures and those of the release, in every run",
        lambda season: Phase.objects.filter(run__season=season),
        (
            _RUN,
            _column("number", _WHOLE, "in the run", "phase"),
            _column("status", _TEXT, "on_record, held, refused, undefined or withdrawn"),
            _column("formula", _TEXT, "reduced"),
            _column("chemical_system", _TEXT, "elements joined by dashes"),
            _column("energy_per_atom", _NUMBER, "eV/atom, of the representative"),
            _column("formation_energy_per_atom", _NUMBER, "eV/atom, against the release"),
            _column("release_phase__number", _WHOLE, "number in the release, where it is of that", "release_phase"),
            _column("first_candidate_id", _WHOLE, "id of the candidate that found it", "first_candidate"),
            _column("candidate_id", _WHOLE, "id of the lowest representative", "candidate"),
        ),
    ),
    Table(
        "log",
        "the hull log of every run",
        lambda season: LogEntry.objects.filter(run__season=season),
        (
            _RUN,
            _column("position", _WHOLE, "from 1"),
            _column("kind", _TEXT, "what happened to the phase"),
            _column("phase__number", _WHOLE, "number in phases", "phase"),
            _column("by__number", _WHOLE, "number of the phase that did it", "by_phase"),
            _column("candidate_id", _WHOLE, "id of the candidate whose arrival did it", "candidate"),
            _column("withdrawal_id", _WHOLE, "id of the withdrawal that did it", "withdrawal"),
            _column("decision_id", _WHOLE, "id of the decision that did it", "decision"),
            _column("written_at", _WHEN, "when"),
        ),
    ),
    Table(
        "scores",
        "the ledger of points of every run; corrections are entries",
        lambda season: ScoreEntry.objects.filter(run__season=season),
        (
            _RUN,
            _column("number", _WHOLE, "from 1"),
            _column("member_id", _WHOLE, "id in members", "member"),
            _column("points", _NUMBER, "negative where they are taken back"),
            _column("reason", _TEXT, "for what"),
            _column("formula", _TEXT, "reduced"),
            _column("phase__number", _WHOLE, "number in phases", "phase"),
            _CANDIDATE,
            _column("provisional", _YES, "until the round closes"),
            _column("round__number", _WHOLE, "of the round whose close it is", "round"),
            _column("log_position", _WHOLE, "of the hull log then"),
            _column("written_at", _WHEN, "when"),
        ),
    ),
    Table(
        "opinions",
        "what auditors made of relaxed structures",
        lambda season: Opinion.objects.filter(relaxation__in=_of_candidates(season).values("pk")),
        (
            _column("relaxation_id", _WHOLE, "id in relaxations", "relaxation"),
            _column("scale__digest", _TEXT, "SHA-256 of the auditor's energy scale", "scale"),
            _column("state", _TEXT, "waiting, relaxing, given or set_aside"),
            _column("result__energy_per_atom", _NUMBER, "eV/atom on the auditor's scale", "energy_per_atom"),
            _column("result__stopped", _TEXT, "why its relaxation ended", "stopped"),
            _column("problem", _TEXT, "why there is none"),
            _column("silence", _TEXT, "why nothing was heard when verdicts were made that rest on that"),
        ),
    ),
    Table(
        "withdrawals",
        "what owners took back",
        lambda season: Withdrawal.objects.filter(season=season),
        (
            _column("pk", _WHOLE, "id", "withdrawal"),
            _CANDIDATE,
            _BY,
            _REASON,
            _column("asked_at", _WHEN, "when it was asked for"),
            _column("done_at", _WHEN, "when it was carried out"),
        ),
    ),
    Table(
        "decisions",
        "what organisers decided on structures that were held",
        lambda season: Decision.objects.filter(season=season),
        (
            _column("pk", _WHOLE, "id", "decision"),
            _CANDIDATE,
            _column("arrival", _WHOLE, "place in the order of arrival"),
            _column("accepted", _YES, "else refused"),
            _BY,
            _REASON,
            _column("decided_at", _WHEN, "when"),
        ),
    ),
    Table(
        "rounds",
        "closes of rounds, and those that are planned",
        lambda season: Round.objects.filter(season=season),
        (
            _column("number", _WHOLE, "from 1; none while it is planned", "round"),
            _column("arrival", _WHOLE, "place in the order of arrival"),
            _column("planned_for", _WHEN, "when it was to close, where that was planned"),
            _column("closed_at", _WHEN, "when it closed"),
            _BY,
            _REASON,
        ),
    ),
    Table(
        "reruns",
        "what was judged again",
        lambda season: Rerun.objects.filter(candidate__season=season),
        (
            _CANDIDATE,
            _column("arrival_before", _WHOLE, "its arrival number until then"),
            _column("state_before", _TEXT, "where it stood"),
            _column("reason_before", _TEXT, "reason code of its rejection"),
            _column("sentence_before", _TEXT, "why, then"),
            _BY,
            _REASON,
            _column("at", _WHEN, "when"),
        ),
    ),
    Table(
        "exclusions",
        "what runs leave out",
        lambda season: RunExclusion.objects.filter(run__season=season),
        (_RUN, _CANDIDATE, _BY, _REASON),
    ),
    Table(
        "audit_log",
        "what organisers and staff did",
        lambda season: AuditEntry.objects.filter(season=season),
        (
            _column("at", _WHEN, "by the database's clock"),
            _column("who", _TEXT, "public name, or the account that ran a command"),
            _column("deed", _TEXT, "what"),
            _REASON,
            _column("batch_id", _WHOLE, "id in batches", "batch"),
            _column("candidate_id", _WHOLE, "id in candidates", "candidate"),
            _column("member_id", _WHOLE, "id in members", "member"),
            _column("parameters", _TEXT, "what was asked for, JSON"),
            _column("outcome", _TEXT, "what came of it, JSON"),
        ),
    ),
)
