"""``manage.py withdraw CANDIDATE...``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from philately.domain.withdrawals import WithdrawalRefused, ask, end_release
from philately.management.evaluation_command import user_named
from philately.models import Batch, Candidate


class Command(BaseCommand):
    help = (
        "Withdraw candidates on their owner's behalf. What was placed leaves the hull within seconds, as soon as the "
        "sequencer comes to it; what is being relaxed when that ends."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("candidate", type=int, nargs="*", help="ids of candidates")
        parser.add_argument("--batch", type=int, nargs="+", default=[], metavar="ID", help="all of these batches")
        parser.add_argument("--by", required=True, metavar="USER", help="their owner, or an organiser of the season")
        parser.add_argument("--reason", default="", help="why; shown on their pages")

    def handle(self, **options: Any) -> None:
        user = user_named(options["by"])
        candidates = _meant(options["candidate"], options["batch"])
        try:
            for batch in Batch.objects.filter(pk__in=options["batch"]):
                end_release(batch, by=user, reason=options["reason"])
            asked = ask(candidates, by=user, reason=options["reason"])
        except WithdrawalRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        before = candidates.count() - asked
        self.stdout.write(f"{asked:,} withdrawn" + (f", {before:,} had been before" if before else ""))
        waiting = candidates.filter(withdrawal__done_at=None, withdrawal__isnull=False).count()
        if waiting:
            self.stdout.write(f"{waiting:,} of them wait for the sequencer or for the end of a relaxation")


def _meant(keys: list[int], batches: list[int]) -> Any:
    if not keys and not batches:
        raise CommandError("say which: ids of candidates, or --batch")
    known = set(Candidate.objects.filter(pk__in=keys).values_list("pk", flat=True))
    if unknown := sorted(set(keys) - known):
        raise CommandError(f"there is no candidate {', '.join(map(str, unknown))}")
    for batch in batches:
        if not Batch.objects.filter(pk=batch).exists():
            raise CommandError(f"there is no batch {batch}")
        if not Candidate.objects.filter(batch=batch).exists():
            raise CommandError(f"batch {batch} has no structures; what is not read yet cannot be withdrawn")
    return Candidate.objects.filter(Q(pk__in=keys) | Q(batch__in=batches))
