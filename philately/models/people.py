"""Who takes part, and as what."""

from django.contrib.auth.models import AbstractUser
from django.db import models

from philately.states import Role


class User(AbstractUser):
    """An account. Roles are held per season; ``is_staff`` opens Django's admin."""


class Membership(models.Model):
    """A user's role in a season. Scores belong to memberships."""

    season = models.ForeignKey("philately.Season", models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.PARTICIPANT)
    joined_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["season", "user", "role"], name="membership_once_a_role"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role} of {self.season}"
