"""What commands that make another run of a season have in common: place, show who would move, make it official."""

import time

from django.core.management.base import BaseCommand, CommandError

from philately.domain.evaluations import EvaluationRefused, evaluate, make_official
from philately.models import Run, Season, User
from philately.queries.moves import moves

_EVERY_S = 5.0


class EvaluationCommand(BaseCommand):
    """Subclasses say which run."""

    def go_on(self, season: Season, run: Run, *, official: bool, by: User | None = None, reason: str = "") -> None:
        """Raises EvaluationRefused."""
        self.stdout.write(f"run {run.number} on {run.release}")
        self._evaluate(run)
        self._show(season.official_run, run)
        if official:
            make_official(run, by=by, reason=reason)
            self.stdout.write(f"run {run.number} is the official one")

    def _evaluate(self, run: Run) -> None:
        total, started = run.season.candidates.filter(relaxation__isnull=False).count(), time.monotonic()
        told, placed = started, run.placements.count()

        def tell(more: int) -> None:
            nonlocal told, placed
            placed += more
            if time.monotonic() - told > _EVERY_S:
                told = time.monotonic()
                self.stdout.write(f"{placed:,} of at most {total:,} placed")

        try:
            evaluate(run, on_progress=tell)
        except (EvaluationRefused, KeyboardInterrupt):
            self.stderr.write(f"run {run.number} stopped; go on with: new_run {run.season.slug} --resume {run.number}")
            raise
        self.stdout.write(f"{placed:,} placed, {run.exclusions.count():,} left out")

    def _show(self, before: Run | None, after: Run) -> None:
        self.stdout.write(f"{'':30}{'rank':>12}{'points':>24}{'finds':>16}{'gained':>8}{'lost':>8}")
        for move in moves(before, after):
            ranks = f"{move.rank_before} → {move.rank_after}"
            points = f"{move.points_before:g} → {move.points_after:g}"
            finds = f"{move.finds_before} → {move.finds_after}"
            changes = f"{move.finds_gained:>8}{move.finds_lost:>8}"
            self.stdout.write(f"{move.name:30}{ranks:>12}{points:>24}{finds:>16}{changes}")


def user_named(name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"there is no user {name!r}")
    return user
