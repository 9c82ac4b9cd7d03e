"""What was submitted: a batch, its text in shards, its candidates."""

from django.db import models
from django.db.models import Q

from philately.states import BatchState, CandidateState, ShardState, Stage


class Leased(models.Model):
    """A row that one worker at a time may hold, until its lease runs out."""

    lease = models.CharField(max_length=32, null=True, editable=False, help_text="token of the worker that holds it")
    lease_until = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        abstract = True


class Batch(Leased):
    """One upload."""

    season = models.ForeignKey("philately.Season", models.PROTECT, related_name="batches")
    owner = models.ForeignKey("philately.Membership", models.PROTECT, related_name="batches")
    sha256 = models.CharField(max_length=64)
    file_name = models.CharField(max_length=255)
    n_bytes = models.PositiveBigIntegerField()
    n_counted = models.PositiveBigIntegerField(null=True, help_text="structures, counted when it was read")
    stored_as = models.CharField(max_length=255, blank=True)
    method = models.CharField(max_length=100)
    method_description = models.TextField(blank=True)
    licence = models.CharField(max_length=100, help_text="the data licence that its owner consented to")
    submitted_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=BatchState.choices, default=BatchState.UPLOADED)
    problem = models.TextField(blank=True, help_text="why it was refused or set aside")
    n_found = models.PositiveIntegerField(default=0, help_text="structures found so far, while it is being read")
    n_released = models.PositiveIntegerField(default=0, help_text="structures that are candidates so far")

    class Meta:
        verbose_name_plural = "batches"
        constraints = [
            models.UniqueConstraint(fields=["owner", "sha256"], name="batch_once_a_member"),
            models.CheckConstraint(condition=Q(state__in=BatchState.values), name="batch_state_known"),
            models.CheckConstraint(condition=~Q(state=BatchState.REFUSED) | ~Q(problem=""), name="batch_refusal_told"),
        ]
        indexes = [
            models.Index(fields=["season", "state", "id"], name="batch_queue"),
            models.Index(fields=["owner", "submitted_at"], name="batch_owner_day"),
        ]

    def __str__(self) -> str:
        return f"batch {self.pk} ({self.file_name})"


class Shard(Leased):
    """About a thousand structures' text, compressed, immutable."""

    batch = models.ForeignKey(Batch, models.PROTECT, related_name="shards")
    number = models.PositiveIntegerField()
    stored_as = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    state = models.CharField(max_length=16, choices=ShardState.choices, default=ShardState.WAITING)
    problem = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["batch", "number"], name="shard_number_once"),
            models.CheckConstraint(condition=Q(state__in=ShardState.values), name="shard_state_known"),
        ]
        indexes = [models.Index(fields=["state", "lease_until"], name="shard_queue")]

    def __str__(self) -> str:
        return f"shard {self.number} of {self.batch}"


class Candidate(Leased):
    """One structure of a batch. Narrow: what changes and what is searched; the rest is in CandidateDetail. Every change
    of state writes each index anew on PostgreSQL, so there are no more of them than are looked into."""

    season = models.ForeignKey("philately.Season", models.PROTECT, db_index=False, related_name="candidates")
    batch = models.ForeignKey(Batch, models.PROTECT, db_index=False, related_name="candidates")
    shard = models.ForeignKey(Shard, models.PROTECT, related_name="candidates")
    arrival = models.PositiveBigIntegerField()
    state = models.CharField(max_length=16, choices=CandidateState.choices, default=CandidateState.RECEIVED)
    reason = models.CharField(max_length=32, blank=True, help_text="reason code of a rejection")
    failed_in = models.CharField(max_length=8, blank=True, choices=Stage.choices)
    formula = models.CharField(max_length=100, blank=True, help_text="reduced formula, elements in alphabetical order")
    content_hash = models.CharField(max_length=64, blank=True)
    n_atoms = models.PositiveIntegerField(null=True, help_text="in the primitive cell")
    twin_of = models.ForeignKey("self", models.PROTECT, null=True, blank=True, db_index=False, related_name="twins")
    relaxation = models.ForeignKey(
        "philately.RelaxationFact", models.PROTECT, null=True, db_index=False, related_name="candidates"
    )
    changed_at = models.DateTimeField(auto_now_add=True)
    is_rerun = models.BooleanField(
        db_default=False, help_text="an organiser has it done again; such ones go before others, every second time"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["season", "arrival"], name="candidate_arrival_once"),
            models.CheckConstraint(condition=Q(state__in=CandidateState.values), name="candidate_state_known"),
            models.CheckConstraint(
                condition=Q(state=CandidateState.RELAXING, lease__isnull=False, lease_until__isnull=False)
                | (~Q(state=CandidateState.RELAXING) & Q(lease__isnull=True, lease_until__isnull=True)),
                name="candidate_lease_while_relaxing",
            ),
            models.CheckConstraint(
                condition=~Q(state=CandidateState.REJECTED) | ~Q(reason=""), name="candidate_rejection_told"
            ),
            models.CheckConstraint(
                condition=~Q(state=CandidateState.PARKED) | Q(twin_of__isnull=False), name="candidate_parked_under_twin"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[CandidateState.RELAXED, CandidateState.PLACED]) | Q(relaxation__isnull=False),
                name="candidate_relaxed_has_relaxation",
            ),
            models.CheckConstraint(
                condition=~Q(state=CandidateState.FAILED) | ~Q(failed_in=""), name="candidate_failure_located"
            ),
        ]
        indexes = [
            models.Index(fields=["season", "state", "arrival"], name="candidate_queue"),
            models.Index(fields=["season", "formula", "arrival"], name="candidate_formula"),
            models.Index(fields=["batch", "arrival"], name="candidate_batch"),
            models.Index(fields=["batch", "state", "arrival"], name="candidate_batch_queue"),
            models.Index(
                fields=["state", "lease_until"], name="candidate_lease", condition=Q(lease_until__isnull=False)
            ),
            models.Index(fields=["lease"], name="candidate_lease_token", condition=Q(lease__isnull=False)),
            models.Index(fields=["twin_of"], name="candidate_twin", condition=Q(twin_of__isnull=False)),
            models.Index(fields=["season", "state", "arrival"], name="candidate_rerun", condition=Q(is_rerun=True)),
        ]

    def __str__(self) -> str:
        return f"candidate {self.pk} ({self.formula or 'unread'})"


class CandidateDetail(models.Model):
    """What is looked at one candidate at a time: where its text lies, its geometry, the sentence on its fate."""

    candidate = models.OneToOneField(Candidate, models.CASCADE, primary_key=True, related_name="detail")
    file = models.CharField(max_length=255)
    block = models.CharField(max_length=255, blank=True)
    line = models.PositiveIntegerField(default=1, help_text="where the block begins in its file")
    format = models.CharField(max_length=8, default="cif", help_text="how its text is to be read")
    offset = models.PositiveBigIntegerField(help_text="bytes, in the decompressed shard")
    length = models.PositiveBigIntegerField(help_text="bytes")
    sentence = models.TextField(blank=True, help_text="why it was rejected, parked, failed or set aside")
    geometry = models.BinaryField(null=True, help_text="the primitive cell as a packed crystal")

    def __str__(self) -> str:
        return self.file
