"""The judge of a scale, loaded once a process and believed only after its canary."""

import logging
from functools import lru_cache

from django.conf import settings
from django.db import transaction

from philately.domain.audit_log import Deed, record
from philately.models import AcceptedJudge, Scale, User
from validation.canary import CanaryDied, CanaryResult, Expected, check
from validation.potentials import Judge, load_judge
from validation.provenance import provenance, values_of, written
from validation.rules import RelaxationSettings
from validation.scales import WrongScale, scale_digest, scale_of

log = logging.getLogger(__name__)


@lru_cache(maxsize=2)
def judge_of(scale_id: int) -> tuple[Judge, CanaryResult]:
    """The scale's judge and what its canary gave. Raises CanaryDied or WrongScale."""
    scale = Scale.objects.get(pk=scale_id)
    judge = load_judge(scale.judge, scale.model, threads=settings.RELAX_THREADS)
    result = checked(judge)
    found = scale_digest(scale_of(judge, settings_of(scale)))
    if found != scale.digest:
        raise WrongScale(
            f"the weights loaded for {scale} have the scale {found[:12]}, the season's is {scale.digest[:12]}"
        )
    return judge, result


def loaded(scale_id: int) -> tuple[Judge, CanaryResult]:
    """The same; what loading raises is written down where an organiser sees it, and raised."""
    try:
        found = judge_of(scale_id)
    except Exception as error:
        Scale.objects.filter(pk=scale_id).update(problem=f"{type(error).__name__}: {error}")
        log.error("relaxation is paused, the judge is refused: %s", error, extra={"scale": scale_id})
        raise
    Scale.objects.filter(pk=scale_id).exclude(problem="").update(problem="")
    return found


def settings_of(scale: Scale) -> RelaxationSettings:
    return RelaxationSettings(**scale.identity["relaxation"])


def checked(judge: Judge) -> CanaryResult:
    """What its canary gave, by the values accepted here where none are registered. Raises CanaryDied."""
    return check(judge, accepted_values(judge.identity()))


class NotAcceptable(Exception):
    """A judge whose values cannot be kept; the message says why."""


def accept(judge: Judge, canary: CanaryResult, *, by: User | None = None) -> None:
    """Keep what its canary found, for weights without registered values; once for the same ones.

    Raises NotAcceptable where the canary did not pass.
    """
    if not canary.passed:
        raise NotAcceptable(f"the judge {judge.name} is refused, {canary.problem}")
    identity = judge.identity()
    with transaction.atomic():
        row, is_new = AcceptedJudge.objects.get_or_create(
            digest=scale_digest(identity),
            defaults={
                "name": judge.name,
                "model": judge.model,
                "identity": identity,
                "canary": written({row.crystal: row.found for row in canary.rows}),
                "device": judge.device,
                "versions": judge.versions,
            },
        )
        if is_new:
            record(Deed.REGISTER_JUDGE, by=by, parameters={"judge": row.name, "model": row.model, "digest": row.digest})


def accepted_values(identity: dict[str, str]) -> dict[str, Expected] | None:
    """What an organiser accepted for these weights with ``register_judge``, where one did."""
    row = AcceptedJudge.objects.filter(digest=scale_digest(identity)).first()
    return None if row is None else values_of(row.canary)


__all__ = [
    "CanaryDied",
    "NotAcceptable",
    "WrongScale",
    "accept",
    "accepted_values",
    "checked",
    "judge_of",
    "loaded",
    "provenance",
    "settings_of",
]
