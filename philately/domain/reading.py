"""This worker's child processes for texts from strangers: made at first use, kept until the worker ends."""

from django.conf import settings

from validation.readers import Readers
from validation.rules import Rules
from validation.seats import ReadingLimits

_kept: tuple[tuple[int, ReadingLimits], Readers] | None = None


def readers() -> Readers:
    """Of the settings' number and limits. What to read by is said with each text: a worker serves several seasons."""
    global _kept
    wanted = (
        settings.PARSE_CHILDREN,
        ReadingLimits(time_s=settings.PARSE_LIMIT_S, memory_bytes=settings.PARSE_LIMIT_BYTES),
    )
    if _kept is None or _kept[0] != wanted:
        leave()
        made = Readers(Rules(), frozenset(), n_children=wanted[0], limits=wanted[1], with_fingerprints=True)
        _kept = wanted, made
    return _kept[1]


def leave() -> None:
    """End them, as a worker's last deed."""
    global _kept
    if _kept is not None:
        _kept[1].close()
        _kept = None
