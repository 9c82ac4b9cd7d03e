"""When something is wrong: thresholds on figures. docs/prometheus-alerts.yaml has the same ones, and some that need a
history; docs/operations.md says what each means and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import Metric

MINUTE, HOUR, DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class Alarm:
    """Raised by each sample of the metric, with this label, beyond the limit. says: what that means, in short."""

    name: str
    metric: str
    limit: float
    says: str
    label: tuple[str, str] | None = None
    below: bool = False

    @property
    def expression(self) -> str:
        """As Prometheus writes it."""
        labels = "" if self.label is None else f'{{{self.label[0]}="{self.label[1]}"}}'
        return f"{self.metric}{labels} {'<' if self.below else '>'} {self.limit:g}"

    def concerns(self, labels: dict[str, str]) -> bool:
        return self.label is None or labels.get(self.label[0]) == self.label[1]

    def is_beyond(self, figure: float) -> bool:
        return figure < self.limit if self.below else figure > self.limit


@dataclass(frozen=True, slots=True)
class Raised:
    alarm: Alarm
    labels: dict[str, str]
    figure: float


def raised_by(families: Iterable[Metric]) -> list[Raised]:
    """In the order of ALARMS."""
    samples = [sample for family in families for sample in family.samples]
    return [
        Raised(alarm, sample.labels, sample.value)
        for alarm in ALARMS
        for sample in samples
        if sample.name == alarm.metric and alarm.concerns(sample.labels) and alarm.is_beyond(sample.value)
    ]


def _waits(name: str, stage: str, limit_s: float, says: str) -> Alarm:
    return Alarm(name, "philately_oldest_waiting_seconds", limit_s, says, label=("stage", stage))


ALARMS = (
    Alarm("PhilatelyDependencyDown", "philately_dependency_up", 1, "it does not answer", below=True),
    Alarm("PhilatelySweeperStopped", "philately_last_sweep_age_seconds", 2 * MINUTE, "no sweeper runs"),
    Alarm("PhilatelyRelaxationPaused", "philately_relaxation_paused", 0, "the judge was refused"),
    Alarm(
        "PhilatelyRelaxationIdle",
        "philately_relaxation_idle_seconds",
        30 * MINUTE,
        "structures wait and none is finished",
    ),
    Alarm(
        "PhilatelySequencerOverdue",
        "philately_sequencer_overdue_seconds",
        30 * MINUTE,
        "a relaxed structure's turn has come and nobody places it",
    ),
    _waits("PhilatelyIntakeWaits", "intake", 30 * MINUTE, "an upload is not read"),
    _waits("PhilatelyParseWaits", "parse", HOUR, "a structure is not read, or not compared with others"),
    _waits("PhilatelyRelaxWaits", "relax", 3 * DAY, "relaxation is far behind"),
    _waits("PhilatelyPlaceWaits", "place", DAY, "an earlier structure holds up the others"),
    Alarm("PhilatelyCandidatesFail", "philately_candidates_failed", 100, "many structures fail by a fault of ours"),
    Alarm("PhilatelyCandidatesSetAside", "philately_candidates_set_aside", 0, "an organiser has to decide"),
    Alarm("PhilatelyBatchesSetAside", "philately_batches_set_aside", 0, "an upload could not be read"),
    Alarm("PhilatelyShardsSetAside", "philately_shards_set_aside", 0, "part of an upload could not be read"),
    Alarm("PhilatelyOpinionsSetAside", "philately_opinions_set_aside", 0, "an auditor failed on a find"),
    Alarm("PhilatelyLeasesOverdue", "philately_leases_overdue", 100, "dead workers' structures are not taken back"),
    Alarm("PhilatelyHullDiffers", "philately_hull_audit_differences", 0, "the hull is not what its rows say"),
    Alarm("PhilatelyHullUnaudited", "philately_hull_audit_stale_seconds", 3 * DAY, "the nightly audit does not run"),
    Alarm("PhilatelyDumpStale", "philately_dump_stale_seconds", 6 * HOUR, "the dump is not made anew"),
    Alarm("PhilatelyDiskFills", "philately_disk_free_ratio", 0.1, "less than a tenth of the disk is free", below=True),
)
