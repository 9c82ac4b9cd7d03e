"""Judges that this installation accepted by their own values."""

from django.db import models


class AcceptedJudge(models.Model):
    """Weights for which no values are registered in the code, and what their canary gave when an organiser looked."""

    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the identity below")
    name = models.CharField(max_length=50)
    model = models.TextField(blank=True, help_text="folder, hub name or description that it was loaded by")
    identity = models.JSONField(help_text="judge, architecture, weights' SHA-256, dtype")
    canary = models.JSONField(help_text="by crystal: lattice parameter in Å, energy in eV/atom")
    device = models.CharField(max_length=50)
    versions = models.JSONField(help_text="of packages, when it was accepted")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.name} {self.model}".strip()
