"""``manage.py quota SEASON``."""

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand

from philately.domain.own_limits import change, participant
from philately.domain.quotas import NAMES, limits_of, quota_left
from philately.management.chosen_season import chosen_season
from philately.management.deed_command import add_who_and_why, refusals_told
from philately.management.evaluation_command import user_named
from philately.models import Membership, Season


class Command(BaseCommand):
    help = (
        "Set quotas of a season, or of one participant, beside the installation's; the upload page shows what holds. "
        "`default` takes one's own limit away again. Lowering a limit needs a reason."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", help="slug")
        parser.add_argument("--member", metavar="USER", help="of this participant alone")
        for name in NAMES:
            parser.add_argument(f"--{name.replace('_', '-')}", type=_limit, metavar="N", help="a number, or default")
        parser.add_argument("--show", action="store_true", help="show what holds, and for a participant what is left")
        add_who_and_why(parser)

    def handle(self, **options: Any) -> None:
        season, by = chosen_season(options["season"]), user_named(options["by"])
        changes = {name: options[name] for name in NAMES if options[name] is not None}
        with refusals_told():
            member = participant(season, options["member"]) if options["member"] else None
            if changes:
                wanted = {name: None if value == "default" else int(value) for name, value in changes.items()}
                moved = change(season, wanted, by=by, member=member, reason=options["reason"])
                for name, (before, after) in moved.items():
                    self.stdout.write(f"{name}: {before:,} → {after:,}")
                if not moved:
                    self.stdout.write("nothing is other than before")
        if options["show"] or not changes:
            season.refresh_from_db()
            self._show(season, participant(season, options["member"]) if member else None)

    def _show(self, season: Season, member: Membership | None) -> None:
        limits = limits_of(season, member)
        left = None if member is None else quota_left(member).left
        for name in NAMES:
            rest = "" if left is None else f"{getattr(left, name):>20,} left"
            self.stdout.write(f"{name:22}{getattr(limits, name):>20,}{rest}")


def _limit(text: str) -> str:
    if text != "default" and not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is neither a number nor default")
    return text
