"""What all processes together did, counted for monitoring. No verdict depends on it."""

from django.db import models


class Tally(models.Model):
    """How often something was done since the installation began, and when last, by the database's clock."""

    name = models.CharField(max_length=40)
    label = models.CharField(max_length=100, blank=True, help_text="the kind, such as a task's name")
    count = models.PositiveBigIntegerField(default=0)
    changed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "tallies"
        constraints = [models.UniqueConstraint(fields=["name", "label"], name="tally_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.label}: {self.count}".replace(" :", ":")
