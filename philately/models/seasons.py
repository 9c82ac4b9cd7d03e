"""Seasons, the energy scale they are judged on and the release they are judged against."""

from django.db import models

from philately.states import Visibility


class Scale(models.Model):
    """Weights, architecture, dtype and relaxation settings: energies of different scales never meet."""

    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the identity below")
    name = models.CharField(max_length=100)
    judge = models.CharField(max_length=50)
    model = models.CharField(max_length=500, blank=True, help_text="folder or hub name, where the judge has several")
    identity = models.JSONField(help_text="judge, architecture, weights' SHA-256, dtype, relaxation settings")
    problem = models.TextField(blank=True, help_text="why the judge was refused when a worker loaded it last")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Release(models.Model):
    """Immutable, checksummed reference phases on one scale."""

    scale = models.ForeignKey(Scale, models.PROTECT, related_name="releases")
    name = models.CharField(max_length=100)
    coverage = models.CharField(max_length=16, choices=[(c, c) for c in ("elements", "prototypes", "full")])
    sha256 = models.CharField(max_length=64, unique=True)
    n_phases = models.PositiveIntegerField()
    elements = models.JSONField(help_text="symbols of the elements with a reference")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class ReleasePhase(models.Model):
    release = models.ForeignKey(Release, models.PROTECT, related_name="phases")
    number = models.PositiveIntegerField()
    formula = models.CharField(max_length=100)
    energy_per_atom = models.FloatField(help_text="eV/atom")
    n_sites = models.PositiveIntegerField()
    geometry = models.BinaryField(help_text="a packed crystal")
    label = models.CharField(max_length=200, blank=True)
    note = models.CharField(max_length=500, blank=True)
    space_group_number = models.PositiveSmallIntegerField(null=True)
    pearson_symbol = models.CharField(max_length=16, blank=True)
    prototype_label = models.TextField(blank=True, help_text="with its elements: AB_cF8_225_a_b:Cl-Na")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["release", "number"], name="release_phase_number_once")]
        indexes = [models.Index(fields=["release", "formula"], name="release_phase_formula")]

    def __str__(self) -> str:
        return f"{self.formula} ({self.label})"


def _own_limit(what: str) -> "models.PositiveBigIntegerField[int | None, int | None]":
    """A quota of this season alone; where there is none, the installation's setting holds."""
    return models.PositiveBigIntegerField(null=True, blank=True, help_text=f"{what}; empty: as everywhere")


class Season(models.Model):
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    scale = models.ForeignKey(Scale, models.PROTECT, related_name="seasons")
    rules = models.JSONField()
    visibility = models.CharField(max_length=8, choices=Visibility.choices, default=Visibility.OPEN)
    data_licence = models.CharField(max_length=100)
    opens_at = models.DateTimeField()
    closes_at = models.DateTimeField(null=True, blank=True)
    frozen_at = models.DateTimeField(null=True, blank=True, help_text="from then on nothing of it changes")
    round_days = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="a round closes by itself after so many days; empty: by command alone"
    )
    next_arrival = models.PositiveBigIntegerField(default=1)
    served = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="where whoever was served last stood in fair_share's account"
    )
    upload_bytes = _own_limit("bytes of one upload")
    upload_bytes_a_day = _own_limit("bytes that a participant may upload a day")
    uploads_a_day = _own_limit("uploads of a participant a day")
    uploads_unfinished = _own_limit("unfinished uploads of a participant at a time")
    structures_a_day = _own_limit("structures of a participant a day")
    structures_a_season = _own_limit("structures of a participant in the season")
    atom_steps_a_day = _own_limit("atoms × steps of relaxation of a participant a day")
    atom_steps_a_season = _own_limit("atoms × steps of relaxation of a participant in the season")
    official_run = models.OneToOneField(
        "philately.Run", models.PROTECT, null=True, blank=True, related_name="official_for"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(visibility__in=Visibility.values), name="season_visibility_known")
        ]

    def __str__(self) -> str:
        return self.name
