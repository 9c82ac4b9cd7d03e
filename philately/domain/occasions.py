"""What a run comes to between two arrivals: organisers' decisions and the closes of rounds."""

from dataclasses import dataclass

from django.db.models import Q

from philately.domain import decisions, rounds
from philately.models import Decision, Round, Run, Season
from validation.placing import Fold


@dataclass(frozen=True, slots=True)
class Occasion:
    """It is due when everything with a lower arrival number is settled and placed."""

    arrival: int
    what: Decision | Round


def following(run: Run) -> Occasion | None:
    """The next one of a run. Two queries, each a look into an index."""
    after = Q(season=run.season_id, arrival__gt=run.placed_to)
    found = [
        Decision.objects.filter(after).order_by("arrival").first(),
        Round.objects.filter(after).order_by("arrival").first(),
    ]
    occasions = [Occasion(one.arrival, one) for one in found if one is not None and one.arrival is not None]
    return min(occasions, key=lambda one: one.arrival, default=None)


def wait(season: Season) -> bool:
    """Whether any is still ahead of the official run."""
    return season.official_run is not None and following(season.official_run) is not None


def carry_out(run: Run, fold: Fold, occasion: Occasion) -> None:
    """Takes the run, whose saving is the caller's, and its fold along. Belongs into a transaction that holds the run's
    row."""
    if isinstance(occasion.what, Decision):
        decisions.apply(run, fold, occasion.what)
    else:
        rounds.pay(run, fold, occasion.what)
    run.placed_to = occasion.arrival
