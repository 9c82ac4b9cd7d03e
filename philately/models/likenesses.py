"""What is looked into to find a structure's like: fingerprints, and which relaxed structures were found to match.

A structure has a fingerprint for each of its reduced cells, mostly one.
"""

from django.db import models
from django.db.models import Q


class InitialFingerprint(models.Model):
    """Of a candidate as it was submitted. Who looks for twins searches the three projections by ranges."""

    season = models.ForeignKey("philately.Season", models.PROTECT, db_index=False, related_name="+")
    candidate = models.ForeignKey("philately.Candidate", models.CASCADE, related_name="fingerprints")
    key = models.BigIntegerField(help_text="of reduced formula and atoms in the primitive cell")
    n_atoms = models.PositiveIntegerField(help_text="in the primitive cell")
    shortest = models.FloatField(help_text="logarithm of the shortest lattice vector")
    contrast = models.FloatField(help_text="of near and next neighbours")
    fourth = models.FloatField(help_text="logarithm of the fourth lattice vector")
    packed = models.BinaryField(help_text="lengths and distances, float32")

    class Meta:
        indexes = [
            models.Index(fields=["season", "key", "shortest", "contrast", "fourth"], name="initial_fingerprint_search")
        ]

    def __str__(self) -> str:
        return f"fingerprint of {self.candidate}"


class RelaxedFingerprint(models.Model):
    """Of a relaxed structure, a candidate's or a release's. Found by its owner: formula and energy come first there."""

    relaxation = models.ForeignKey(
        "philately.RelaxationFact", models.CASCADE, null=True, db_index=False, related_name="fingerprints"
    )
    release_phase = models.ForeignKey(
        "philately.ReleasePhase", models.CASCADE, null=True, db_index=False, related_name="fingerprints"
    )
    key = models.CharField(max_length=120, help_text="reduced formula and atoms in the primitive cell")
    packed = models.BinaryField(help_text="lengths and distances, float32")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(relaxation__isnull=False, release_phase__isnull=True)
                | Q(relaxation__isnull=True, release_phase__isnull=False),
                name="fingerprint_of_one",
            ),
            models.UniqueConstraint(fields=["relaxation", "key"], name="fingerprint_once_a_relaxation"),
            models.UniqueConstraint(fields=["release_phase", "key"], name="fingerprint_once_a_release_phase"),
        ]

    def __str__(self) -> str:
        return f"fingerprint of {self.relaxation or self.release_phase}"


class Fit(models.Model):
    """A fact: whether two relaxed structures match. Positive numbers are relaxations, negative ones release phases."""

    policy = models.CharField(max_length=16, help_text="digest of matcher and tolerances")
    lower = models.BigIntegerField(help_text="the lower number of the two")
    higher = models.BigIntegerField()
    matches = models.BooleanField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["higher", "lower", "policy"], name="fit_once_a_policy")]

    def __str__(self) -> str:
        return f"{self.lower} {'matches' if self.matches else 'does not match'} {self.higher}"
