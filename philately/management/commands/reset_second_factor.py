"""``manage.py reset_second_factor``: for staff who lost authenticator and recovery codes."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from philately.domain.second_factor import reset
from philately.models import User


class Command(BaseCommand):
    help = (
        "Forget an account's authenticator and recovery codes and end its sessions. At the next login with the "
        "password another authenticator is set up: make sure first that it is the account's owner who asks."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="of the account")
        parser.add_argument("--reason", required=True, help="why, and who asked; kept in the audit log")

    def handle(self, **options: Any) -> None:
        user = User.objects.filter(username=options["name"]).first()
        if user is None:
            raise CommandError(f"there is no account {options['name']!r}")
        ended = reset(user, reason=options["reason"])
        self.stdout.write(f"{user}'s second factor is reset; sessions ended: {ended}. The next login sets up another")
