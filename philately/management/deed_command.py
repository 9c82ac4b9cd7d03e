"""What commands of organisers have in common: who does it, why, and one sentence where it is refused."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.core.management.base import CommandError

from philately.domain.organisers import DeedRefused, refuse_strangers
from philately.management.evaluation_command import user_named
from philately.models import Season, User


def add_who_and_why(parser: ArgumentParser, *, needs_reason: bool = False) -> None:
    parser.add_argument("--by", required=True, metavar="USER", help="who does it: an organiser of the season, or staff")
    text = "why; kept in the audit log" + (", and told to whom it concerns" if needs_reason else "")
    parser.add_argument("--reason", default="", required=needs_reason, help=text)


@contextmanager
def refusals_told() -> Iterator[None]:
    try:
        yield
    except DeedRefused as refusal:
        raise CommandError(str(refusal)) from refusal


def organiser_named(name: str | None, season: Season | None = None) -> User | None:
    """For commands that also run unnamed: the user, who must organise the season or be of the staff."""
    if not name:
        return None
    user = user_named(name)
    with refusals_told():
        refuse_strangers(user, season)
    return user


def moment(text: str) -> datetime:
    """An argument's type: ISO, UTC where it does not say otherwise."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no moment such as 2027-03-01T12:00") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
