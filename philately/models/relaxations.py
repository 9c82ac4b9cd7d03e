"""Relaxations: facts, shared by every season on the same scale."""

from django.db import models

from validation.relaxation import Stopped


class RelaxationFact(models.Model):
    """What the judge made of one initial structure."""

    initial_hash = models.CharField(max_length=64, help_text="content hash of the initial structure")
    scale = models.ForeignKey("philately.Scale", models.PROTECT, related_name="relaxations")
    made_for = models.ForeignKey(
        "philately.Batch",
        models.PROTECT,
        null=True,
        db_index=False,
        related_name="relaxations",
        help_text="the batch whose structure was relaxed, and whose owner it counts for",
    )
    formula = models.CharField(max_length=100)
    n_sites = models.PositiveIntegerField()
    stopped = models.CharField(max_length=16, choices=[(s.value, s.value) for s in Stopped])
    energy_per_atom = models.FloatField(null=True, help_text="eV/atom; none where the relaxation exploded")
    fmax_ev_per_ang = models.FloatField(null=True)
    smax_ev_per_ang3 = models.FloatField(null=True)
    rmsd_ang = models.FloatField(null=True, help_text="how far the atoms moved within the cell")
    volume_change = models.FloatField(null=True, help_text="relative to the initial structure")
    steps = models.PositiveIntegerField()
    seconds = models.FloatField()
    space_group_number = models.PositiveSmallIntegerField(null=True)
    pearson_symbol = models.CharField(max_length=16, blank=True)
    prototype_label = models.TextField(blank=True, help_text="with its elements: AB_cF8_225_a_b:Cl-Na")
    note = models.TextField(blank=True)
    provenance = models.JSONField(help_text="device, package versions and the canary's result")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["initial_hash", "scale"], name="relaxation_once_a_scale")]
        indexes = [
            models.Index(fields=["made_for", "n_sites", "steps"], name="relaxation_cost"),  # summed up without the rows
            models.Index(fields=["scale", "created_at"], name="relaxation_latest"),
        ]

    def __str__(self) -> str:
        return f"{self.formula}: {self.stopped} after {self.steps} steps"


class RelaxationGeometry(models.Model):
    relaxation = models.OneToOneField(RelaxationFact, models.CASCADE, primary_key=True, related_name="geometry")
    crystal = models.BinaryField(help_text="the relaxed cell as a packed crystal")
    forces = models.BinaryField(help_text="float64, (n, 3), eV/Å")
    stress = models.BinaryField(help_text="float64, (6,), eV/Å³, Voigt order of ASE")
    history = models.BinaryField(help_text="float32, (k, 3): eV/atom, eV/Å, eV/Å³ of each step")

    magmoms = models.BinaryField(null=True, help_text="float32, (n,), μB, where the judge gives them")
    charges = models.BinaryField(null=True, help_text="float32, (n,), e, where the judge gives them")

    def __str__(self) -> str:
        return f"geometry of {self.relaxation}"
