"""Facts (what happened, written once) and evaluations (what it is worth, folded from the facts by a run)."""

from philately.models.audit_log import AuditEntry
from philately.models.audits import HullAudit
from philately.models.batches import Batch, Candidate, CandidateDetail, Shard
from philately.models.decisions import Decision
from philately.models.dumps import Dump
from philately.models.judges import AcceptedJudge
from philately.models.likenesses import Fit, InitialFingerprint, RelaxedFingerprint
from philately.models.locks import Bell, Lock
from philately.models.opinions import Opinion
from philately.models.people import ApiKey, Membership, User
from philately.models.relaxations import RelaxationFact, RelaxationGeometry
from philately.models.reruns import Rerun
from philately.models.rounds import Round
from philately.models.runs import HullPoint, LogEntry, Phase, Placement, Run, RunAuditor, RunExclusion, ScoreEntry
from philately.models.seasons import Release, ReleasePhase, Scale, Season
from philately.models.tallies import Tally
from philately.models.uploads import DryRun, ResumableUpload
from philately.models.withdrawals import Withdrawal

__all__ = [
    "AcceptedJudge",
    "ApiKey",
    "AuditEntry",
    "Batch",
    "Bell",
    "Candidate",
    "CandidateDetail",
    "Decision",
    "DryRun",
    "Dump",
    "Fit",
    "HullAudit",
    "HullPoint",
    "InitialFingerprint",
    "Lock",
    "LogEntry",
    "Membership",
    "Opinion",
    "Phase",
    "Placement",
    "RelaxationFact",
    "RelaxationGeometry",
    "RelaxedFingerprint",
    "Release",
    "ReleasePhase",
    "Rerun",
    "ResumableUpload",
    "Round",
    "Run",
    "RunAuditor",
    "RunExclusion",
    "Scale",
    "ScoreEntry",
    "Season",
    "Shard",
    "Tally",
    "User",
    "Withdrawal",
]
