"""The judge of a scale, loaded once a process and believed only after its canary."""

from functools import lru_cache

from django.conf import settings

from philately.models import Scale
from validation.canary import CanaryDied, CanaryResult, check
from validation.potentials import Judge, load_judge
from validation.rules import RelaxationSettings
from validation.scales import scale_digest, scale_of


class WrongScale(Exception):
    """The judge that was loaded is not the one whose scale the season uses."""


@lru_cache(maxsize=2)
def judge_of(scale_id: int) -> tuple[Judge, CanaryResult]:
    """The scale's judge and what its canary gave. Raises CanaryDied or WrongScale."""
    scale = Scale.objects.get(pk=scale_id)
    judge = load_judge(scale.judge, scale.model, threads=settings.RELAX_THREADS)
    result = check(judge)
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
        raise
    Scale.objects.filter(pk=scale_id).exclude(problem="").update(problem="")
    return found


def settings_of(scale: Scale) -> RelaxationSettings:
    return RelaxationSettings(**scale.identity["relaxation"])


def provenance(judge: Judge, canary: CanaryResult) -> dict[str, object]:
    """By what a relaxation was made, beside its scale."""
    return {
        "device": judge.device,
        "versions": judge.versions,
        "canary": {
            row.crystal: {"lattice_ang": row.found.lattice_ang, "energy_per_atom": row.found.energy_per_atom}
            for row in canary.rows
        },
    }


__all__ = ["CanaryDied", "WrongScale", "judge_of", "loaded", "provenance", "settings_of"]
