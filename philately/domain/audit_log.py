"""The audit log: every deed of organisers and staff, who did it, when and why."""

import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db import connection

from philately.models import AuditEntry, Batch, Candidate, Membership, Run, Season, User

SWEEPER = "sweeper"


class Deed(StrEnum):
    WITHDRAW = "withdraw"
    DISQUALIFY = "disqualify"
    NEW_RUN = "new_run"
    OFFICIAL_RUN = "official_run"
    DISCARD_RUN = "discard_run"
    REGISTER_JUDGE = "register_judge"
    IMPORT_RELEASE = "import_release"
    IMPORT_SHARDS = "import_shards"
    CREATE_SEASON = "create_season"
    EDIT_SEASON = "edit_season"
    GIVE_ROLE = "give_role"
    RERUN = "rerun"
    DECIDE = "decide"
    CLOSE_ROUND = "close_round"
    PLAN_ROUND = "plan_round"
    CLOSE_SEASON = "close_season"
    REOPEN_SEASON = "reopen_season"
    FREEZE_SEASON = "freeze_season"
    QUOTA = "quota"
    EXPORT = "export"
    RESET_SECOND_FACTOR = "reset_second_factor"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a deed is about, as far as it is one thing of each kind."""

    season: Season | None = None
    run: Run | None = None
    batch: Batch | None = None
    candidate: Candidate | None = None
    member: Membership | None = None


_NOTHING_SPECIAL = About()


def record(
    deed: Deed,
    about: About = _NOTHING_SPECIAL,
    *,
    by: User | None,
    who: str = "",
    reason: str = "",
    parameters: Mapping[str, Any] | None = None,
    outcome: Mapping[str, Any] | None = None,
) -> None:
    """Write a deed down, in the transaction in which it is done.

    who: in whose name, where no user of the platform did it; else the account under which this process runs.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("a deed is written down in its own transaction")
    AuditEntry.objects.create(
        by=by,
        who=by.username if by is not None else who or _account(),
        deed=deed.value,
        reason=reason,
        season=about.season,
        run=about.run,
        batch=about.batch,
        candidate=about.candidate,
        member=about.member,
        parameters=dict(parameters or {}),
        outcome=dict(outcome or {}),
    )


def _account() -> str:
    try:
        return f"{getpass.getuser()} on the command line"
    except (KeyError, OSError):  # a container's user without a name
        return "the command line"
