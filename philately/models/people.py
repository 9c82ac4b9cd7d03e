"""Who takes part, and as what."""

from django.contrib.auth.models import AbstractUser
from django.db import models

from philately.states import Role


class User(AbstractUser):
    """An account. Roles are held per season; ``is_staff`` opens Django's admin."""

    shows_key = False  # of a request: set where an API key stands in for a password


class Membership(models.Model):
    """A user's role in a season. Scores belong to memberships."""

    season = models.ForeignKey("philately.Season", models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.PARTICIPANT)
    joined_at = models.DateTimeField(auto_now_add=True)
    served = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="structures released to the season's queue, in fair_share's account"
    )
    own_limits = models.JSONField(
        default=dict, blank=True, help_text="quotas of this participant alone, by name; the season's hold otherwise"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["season", "user", "role"], name="membership_once_a_role"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role} of {self.season}"


class ApiKey(models.Model):
    """What a programme shows in place of its user's password. The key itself is shown once and not kept."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, help_text="where it is used")
    prefix = models.CharField(max_length=16, unique=True, help_text="the part by which it is found and recognised")
    digest = models.CharField(max_length=64, help_text="SHA-256 of its secret part")
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(null=True, help_text="last, to the minute")
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.prefix} ({self.name})"
