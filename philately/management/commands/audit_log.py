"""``manage.py audit_log [SEASON]``."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from philately.management.chosen_season import chosen_season
from philately.management.deed_command import moment
from philately.models import AuditEntry


class Command(BaseCommand):
    help = "Show what organisers and staff did, oldest first: when, who, what, why."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", nargs="?", help="slug (default: all, and what concerns no season)")
        parser.add_argument("--by", metavar="USER", help="what this user did")
        parser.add_argument("--since", type=moment, metavar="ISO", help="from this moment on, UTC")
        parser.add_argument("--json", action="store_true", help="one object a line, for machines")

    def handle(self, **options: Any) -> None:
        entries = AuditEntry.objects.order_by("pk").select_related("season", "member__user")
        if options["season"]:
            entries = entries.filter(season=chosen_season(options["season"]))
        if options["by"]:
            entries = entries.filter(who=options["by"])
        if options["since"]:
            entries = entries.filter(at__gte=options["since"])
        for entry in entries.iterator(chunk_size=2000):
            told = _told(entry)
            self.stdout.write(json.dumps(told, ensure_ascii=False) if options["json"] else _line(told))


def _told(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": entry.at.isoformat(timespec="seconds"),
        "who": entry.who,
        "deed": entry.deed,
        "season": entry.season.slug if entry.season else None,
        "batch": entry.batch_id,
        "candidate": entry.candidate_id,
        "member": entry.member.user.username if entry.member else None,
        "reason": entry.reason,
        "parameters": entry.parameters,
        "outcome": entry.outcome,
    }


def _line(told: dict[str, Any]) -> str:
    about = [f"{name} {told[name]}" for name in ("season", "batch", "candidate", "member") if told[name] is not None]
    facts = {**told["parameters"], **told["outcome"]}
    parts = [told["at"], told["who"], told["deed"], ", ".join(about), json.dumps(facts, ensure_ascii=False)]
    return "  ".join([*(part for part in parts if part), *([f"“{told['reason']}”"] if told["reason"] else [])])
