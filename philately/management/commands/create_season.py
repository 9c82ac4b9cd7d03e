"""``manage.py create_season``."""

import json
from argparse import ArgumentParser
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from philately.domain.seasons import SeasonPlan, SeasonRefused, join, open_season
from philately.management.chosen_release import chosen_release
from philately.models import User
from philately.states import Role, Visibility
from validation.rules import Rules


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Open a season: its release decides the scale, and with it the judge."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="short name in addresses, e.g. spring-2027")
        parser.add_argument("--name", help="title (default: the slug)")
        parser.add_argument("--release", required=True, help="number, name or beginning of the SHA-256 of the release")
        parser.add_argument(
            "--auditor",
            dest="auditors",
            action="append",
            default=[],
            metavar="RELEASE",
            help="the release of a second judge, on its own scale, that stable finds are shown to; may be given again",
        )
        parser.add_argument("--rules", type=Path, metavar="JSON", help="file of rules that differ from the defaults")
        parser.add_argument("--max-atoms", type=int, help="atoms in the primitive cell (default: 50)")
        parser.add_argument(
            "--visibility",
            choices=Visibility.values,
            default=Visibility.OPEN,
            help="open: verdicts are shown when placed; blind: when the season closes (default: %(default)s)",
        )
        parser.add_argument("--opens", type=_moment, metavar="ISO", help="UTC (default: now)")
        parser.add_argument("--closes", type=_moment, metavar="ISO", help="UTC (default: stays open)")
        parser.add_argument("--organiser", metavar="USER", help="user name of an organiser")

    def handle(self, **options: Any) -> None:
        plan = SeasonPlan(
            slug=options["slug"],
            name=options["name"] or options["slug"],
            release=chosen_release(options["release"]),
            auditors=[chosen_release(auditor) for auditor in options["auditors"]],
            rules=_rules(options["rules"], options["max_atoms"]),
            visibility=options["visibility"],
            opens_at=options["opens"],
            closes_at=options["closes"],
        )
        organiser = _user(options["organiser"]) if options["organiser"] else None
        try:
            season = open_season(plan)
        except SeasonRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        if organiser is not None:
            join(season, organiser, Role.ORGANISER)
        self.stdout.write(f"season {season.slug} is judged by {season.scale} against {plan.release}")
        for auditor in plan.auditors:
            self.stdout.write(f"its stable finds are audited by {auditor.scale} against {auditor}")


def _rules(path: Path | None, max_atoms: int | None) -> Rules:
    try:
        rules = Rules() if path is None else Rules.from_json(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise CommandError(f"these rules cannot be used: {error}") from error
    return rules if max_atoms is None else replace(rules, max_atoms=max_atoms)


def _user(name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"there is no user {name!r}")
    return user
