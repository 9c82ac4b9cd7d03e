"""Evaluations: what the facts are worth under one run's release and rules.

Foreign keys have no index of their own (``db_index=False``) where one below begins with them, or where nobody looks
from the other end: an index costs every placement a random write. PostgreSQL checks no constraint
(``db_constraint=False``) on a run, whose row is locked by whoever writes, nor on the member and candidate of points,
which are those of their phase: a check costs as much as a row.
"""

from django.db import models
from django.db.models import Q

from philately.states import LogKind, PhaseStatus
from validation.placing import Verdict
from validation.scoring import PointsFor


class Run(models.Model):
    """A deterministic fold over a season's facts. Whatever happens to rules, release or withdrawals makes a new one."""

    season = models.ForeignKey("philately.Season", models.PROTECT, related_name="runs")
    number = models.PositiveIntegerField()
    scale = models.ForeignKey("philately.Scale", models.PROTECT, related_name="runs")
    release = models.ForeignKey("philately.Release", models.PROTECT, related_name="runs")
    rules = models.JSONField()
    rules_digest = models.CharField(max_length=64)
    placed_to = models.PositiveBigIntegerField(default=0, help_text="arrival number up to which everything is placed")
    log_position = models.PositiveBigIntegerField(default=0)
    next_phase_number = models.PositiveBigIntegerField(default=1)
    reason = models.TextField(blank=True, help_text="why it was made")
    discarded_at = models.DateTimeField(null=True, help_text="a preview; what is left of it is being deleted")
    provenance = models.JSONField(default=dict, help_text="code and package versions that made it")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["season", "number"], name="run_number_once")]

    def __str__(self) -> str:
        return f"run {self.number} of {self.season}"


class RunExclusion(models.Model):
    """A candidate that a run leaves out, as if it had never been accepted; decided before the run places anything."""

    run = models.ForeignKey(Run, models.PROTECT, related_name="exclusions")
    candidate = models.ForeignKey("philately.Candidate", models.PROTECT, related_name="exclusions")
    reason = models.TextField(blank=True)
    by = models.ForeignKey("philately.User", models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "candidate"], name="exclusion_once_a_run")]

    def __str__(self) -> str:
        return f"{self.candidate} is left out of {self.run}"


class RunAuditor(models.Model):
    """A second judge: the scale of this release, from whose elements its formation energies are measured."""

    run = models.ForeignKey(Run, models.PROTECT, db_index=False, related_name="auditors")
    release = models.ForeignKey("philately.Release", models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "release"], name="auditor_once_a_run")]

    def __str__(self) -> str:
        return f"{self.release.scale} against {self.release}"


class Phase(models.Model):
    """An accepted unique structure, its lowest-energy representative and first finder; or a phase of the release."""

    run = models.ForeignKey(Run, models.PROTECT, db_index=False, db_constraint=False, related_name="phases")
    number = models.PositiveBigIntegerField(help_text="entry id in the run's hull")
    status = models.CharField(max_length=16, choices=PhaseStatus.choices, default=PhaseStatus.ON_RECORD)
    formula = models.CharField(max_length=100)
    chemical_system = models.CharField(max_length=50)
    energy_per_atom = models.FloatField(help_text="eV/atom, of the representative")
    formation_energy_per_atom = models.FloatField(null=True, help_text="eV/atom, against the release")
    release_phase = models.ForeignKey(
        "philately.ReleasePhase", models.PROTECT, null=True, db_index=False, related_name="+"
    )
    first_candidate = models.ForeignKey(
        "philately.Candidate", models.PROTECT, null=True, db_index=False, related_name="found_phases"
    )
    candidate = models.ForeignKey(
        "philately.Candidate",
        models.PROTECT,
        null=True,
        db_index=False,
        related_name="phases",
        help_text="the lowest representative; none for a phase of the release that nobody refined",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "number"], name="phase_number_once"),
            models.CheckConstraint(
                condition=Q(release_phase__isnull=False, first_candidate__isnull=True)
                | Q(release_phase__isnull=True, candidate__isnull=False, first_candidate__isnull=False),
                name="phase_of_release_or_of_candidate",
            ),
        ]
        indexes = [
            models.Index(fields=["run", "formula", "energy_per_atom"], name="phase_formula"),
            models.Index(fields=["run", "chemical_system"], name="phase_system"),
            models.Index(fields=["run"], name="phase_held", condition=Q(status=PhaseStatus.HELD)),
        ]

    def __str__(self) -> str:
        return f"{self.formula} (phase {self.number})"


class Placement(models.Model):
    """One candidate's verdict in one run."""

    run = models.ForeignKey(Run, models.PROTECT, db_index=False, db_constraint=False, related_name="placements")
    candidate = models.ForeignKey("philately.Candidate", models.PROTECT, db_index=False, related_name="placements")
    verdict = models.CharField(max_length=16, choices=[(v.value, v.value) for v in Verdict])
    reason = models.CharField(max_length=32, blank=True)
    sentence = models.TextField(blank=True)
    phase = models.ForeignKey(Phase, models.PROTECT, null=True, related_name="placements")
    energy_per_atom = models.FloatField()
    formation_energy_per_atom = models.FloatField(null=True)
    e_above_hull_on_arrival = models.FloatField(null=True)
    decomposition_energy = models.FloatField(null=True)
    decomposition = models.JSONField(default=list, help_text="[phase number, fraction of the atoms], on arrival")
    missing_elements = models.JSONField(default=list)
    is_novel = models.BooleanField(null=True, help_text="not in the release; undefined unless its coverage is full")
    log_position = models.PositiveBigIntegerField()
    placed_at = models.DateTimeField(auto_now_add=True)
    withdrawn_after = models.PositiveBigIntegerField(
        null=True, help_text="arrival number up to which the run had placed everything when the candidate was taken out"
    )
    decision = models.ForeignKey(
        "philately.Decision",
        models.PROTECT,
        null=True,
        db_index=False,
        related_name="+",
        help_text="an organiser's, once the run has come to it",
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "candidate"], name="placement_once_a_run")]

    def __str__(self) -> str:
        return f"{self.candidate}: {self.verdict}"


class HullPoint(models.Model):
    """The hull now, once a composition: phases join it by formula."""

    run = models.ForeignKey(Run, models.PROTECT, db_index=False, db_constraint=False, related_name="hull_points")
    formula = models.CharField(max_length=100)
    chemical_system = models.CharField(max_length=50)
    hull_energy = models.FloatField(null=True, help_text="eV/atom of all other compositions; none for an element")
    lowest_energy = models.FloatField(help_text="eV/atom of the lowest phase here")
    lowest_phase = models.PositiveBigIntegerField()
    is_vertex = models.BooleanField()
    log_position = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "formula"], name="hull_point_once")]
        indexes = [
            models.Index(fields=["run", "chemical_system"], name="hull_vertex_system", condition=Q(is_vertex=True)),
        ]

    def __str__(self) -> str:
        return self.formula


class LogEntry(models.Model):
    """The hull log: ordered, append-only."""

    run = models.ForeignKey(Run, models.PROTECT, db_index=False, db_constraint=False, related_name="log")
    position = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=16, choices=LogKind.choices)
    phase = models.ForeignKey(Phase, models.PROTECT, related_name="log")
    by = models.ForeignKey(Phase, models.PROTECT, null=True, db_index=False, related_name="+")
    candidate = models.ForeignKey("philately.Candidate", models.PROTECT, null=True, db_index=False, related_name="+")
    withdrawal = models.ForeignKey(
        "philately.Withdrawal",
        models.PROTECT,
        null=True,
        db_index=False,
        related_name="+",
        help_text="what caused it, where no arrival did",
    )
    decision = models.ForeignKey("philately.Decision", models.PROTECT, null=True, db_index=False, related_name="+")
    written_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "log entries"
        constraints = [models.UniqueConstraint(fields=["run", "position"], name="log_position_once")]

    def __str__(self) -> str:
        return f"{self.position}: {self.phase} {self.kind}"


class ScoreEntry(models.Model):
    """Append-only; a correction is an entry. Points for the hull are provisional until the round closes."""

    run = models.ForeignKey(Run, models.PROTECT, db_index=False, db_constraint=False, related_name="scores")
    number = models.PositiveBigIntegerField()
    member = models.ForeignKey(
        "philately.Membership", models.PROTECT, db_index=False, db_constraint=False, related_name="scores"
    )
    points = models.FloatField()
    reason = models.CharField(max_length=24, choices=[(p.value, p.value) for p in PointsFor])
    formula = models.CharField(max_length=100)
    phase = models.ForeignKey(Phase, models.PROTECT, null=True, db_index=False, related_name="scores")
    candidate = models.ForeignKey(
        "philately.Candidate", models.PROTECT, db_index=False, db_constraint=False, related_name="scores"
    )
    provisional = models.BooleanField()
    round = models.ForeignKey(
        "philately.Round",
        models.PROTECT,
        null=True,
        db_index=False,
        related_name="scores",
        help_text="whose close it is",
    )
    log_position = models.PositiveBigIntegerField()
    written_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "score entries"
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="score_number_once")]
        indexes = [
            models.Index(fields=["run", "candidate"], name="score_candidate"),
            models.Index(fields=["run", "formula"], name="score_formula"),
        ]

    def __str__(self) -> str:
        return f"{self.points:+g} {self.reason}"
