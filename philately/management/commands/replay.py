"""``manage.py replay CANDIDATE``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from philately.domain.replays import NotPlaced, Replay, replay
from philately.models import Candidate


class Command(BaseCommand):
    help = (
        "Compute a candidate's verdict again from the stored relaxed energies; with --relax, relax it anew first. "
        "Exits with 1 where anything differs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("candidate", type=int, help="id of the candidate")
        parser.add_argument("--relax", action="store_true", help="relax again (same class, within 0.002 eV/atom)")

    def handle(self, **options: Any) -> None:
        candidate = Candidate.objects.filter(pk=options["candidate"]).first()
        if candidate is None:
            raise CommandError(f"there is no candidate {options['candidate']}")
        try:
            result = replay(candidate, relax_again=options["relax"])
        except NotPlaced as error:
            raise CommandError(str(error)) from error
        self._show(candidate, result)
        if result.differences:
            raise CommandError("the verdict differs: " + "; ".join(map(_difference, result.differences)), returncode=1)
        self.stdout.write("the verdict is the same")

    def _show(self, candidate: Candidate, result: Replay) -> None:
        placement, outcome = result.placement, result.outcome
        self.stdout.write(f"{candidate} of {candidate.season}, {placement.run}, arrival {candidate.arrival}")
        rows = (
            []
            if outcome is None
            else [
                ("verdict", placement.verdict, outcome.verdict.value),
                ("formation energy", placement.formation_energy_per_atom, outcome.formation_energy_per_atom),
                ("on arrival", placement.e_above_hull_on_arrival, outcome.position.e_above_hull_on_arrival),
                ("decomposition", placement.decomposition_energy, outcome.position.decomposition_energy),
            ]
        )
        if result.energy_per_atom is not None:
            rows.append(("energy per atom", placement.energy_per_atom, result.energy_per_atom))
            rows.append(("device", result.stored_device, result.device))
        self.stdout.write(f"{'':20}{'stored':>24}{'replayed':>24}")
        for name, stored, found in rows:
            self.stdout.write(f"{name:20}{_figure(stored):>24}{_figure(found):>24}")


def _figure(value: object) -> str:
    if value is None:
        return "undefined"
    return f"{value:.10f}" if isinstance(value, float) else str(value)


def _difference(difference: Any) -> str:
    return f"{difference.name} was {_figure(difference.stored)} and is now {_figure(difference.replayed)}"
