"""How values read on a page."""

import re
from datetime import UTC, datetime
from functools import lru_cache

from django import template
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from hull.entries import Formula
from philately.models import Season
from philately.queries.fates import ACCEPTED, DISQUALIFIED, REFUSED
from philately.queries.seasons import is_blind
from philately.states import CandidateState
from validation.effort import rough
from validation.placing import Verdict
from validation.spacegroup import symbol_of

register = template.Library()

_AMOUNT = re.compile(r"[0-9]+")
_VERDICTS = {
    Verdict.STABLE: "predicted stable by {judge}",
    Verdict.METASTABLE: "predicted metastable by {judge}",
    Verdict.UNSTABLE: "accepted, above the hull",
    Verdict.DUPLICATE: "duplicate",
    Verdict.REFINED: "duplicate, lowered the energy",
    Verdict.REJECTED: "rejected",
    Verdict.HELD: "held for an organiser",
    Verdict.UNDEFINED: "distance undefined",
}
_FATES = {
    DISQUALIFIED: "disqualified",
    ACCEPTED: "accepted by an organiser",
    REFUSED: "refused by an organiser",
}


@register.filter
def utc(moment: datetime | None) -> str | SafeString:
    """A moment as <time>, to the minute."""
    if moment is None:
        return "–"
    moment = moment.astimezone(UTC)
    return format_html('<time datetime="{}">{} UTC</time>', f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%Y-%m-%d %H:%M}")


@register.filter
def clock(moment: datetime) -> SafeString:
    """A moment as <time>, to the second, without the day: of what was counted a while ago."""
    moment = moment.astimezone(UTC)
    return format_html('<time datetime="{}">{} UTC</time>', f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%H:%M:%S}")


@register.filter
def ev(energy: float | None) -> str:
    """An energy or a distance with three decimals; a dash where there is none."""
    return "–" if energy is None else f"{energy:.3f}".replace("-0.000", "0.000")


@register.filter
def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


@register.filter
def points(number: float | None) -> str:
    """A dash where they are not told yet."""
    return "–" if number is None else f"{number:g}"


@register.filter
def size(n_bytes: int) -> str:
    """Bytes in decimal units, as limits are set: 200 MB."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.3g} {unit}"
    return f"{n_bytes} bytes"


@register.filter
def about(seconds: float) -> str:
    """How long an estimate says, as somebody would say it who does not know better: about 12 min."""
    for unit, factor, at_least in (("day", 86_400, 36 * 3600), ("h", 3600, 90 * 60), ("min", 60, 45)):
        if seconds >= at_least:
            count = max(1, round(seconds / factor))
            return f"about {count:,} {unit}{'s' if unit == 'day' and count != 1 else ''}"
    return "less than a minute"


@register.filter
def roughly(number: float) -> int:
    """An estimated number with two digits that mean something."""
    return rough(number)


@register.filter
def formula(text: str) -> SafeString:
    """A reduced formula as chemists write it, the amounts below the line; empty where there is none."""
    return _written(text) if text else SafeString()


@lru_cache(maxsize=100_000)  # a page of a batch has some 300, the same ones again and again
def _written(text: str) -> SafeString:
    """Safe: what Formula reads is letters and digits alone."""
    return SafeString(_AMOUNT.sub(r"<sub>\g<0></sub>", Formula.parse(text).written))


@register.filter
def space_group(number: int | None) -> SafeString:
    """Its symbol, screw axes as they are printed, and its number; empty where there is none."""
    return SafeString() if number is None else _symbol(number)


@lru_cache(maxsize=230)
def _symbol(number: int) -> SafeString:
    head, *screws = symbol_of(number).split("_")
    parts = ((screw[0], screw[1:]) for screw in screws)
    return format_html("{}{} ({})", head, format_html_join("", "<sub>{}</sub>{}", parts), number)


@register.filter
def outcome(value: str, judge: str) -> str:
    """A verdict or a state in words; "stable" always says by whom it is predicted."""
    if value in _VERDICTS:
        return _VERDICTS[Verdict(value)].format(judge=judge)
    if value in _FATES:
        return _FATES[value]
    return CandidateState(value).label


@register.filter
def sentence(text: str) -> str:
    """With a capital and one full stop, however it was written."""
    return text[:1].upper() + text[1:].removesuffix(".") + "."


@register.filter
def blind(season: Season) -> bool:
    """Whether what was submitted is hidden from all but owners and organisers now."""
    return is_blind(season)


@register.filter
def timing(season: Season) -> str:
    """``upcoming``, ``open`` or ``closed``."""
    now = timezone.now()
    if now < season.opens_at:
        return "upcoming"
    if season.frozen_at is not None:
        return "closed"
    return "closed" if season.closes_at is not None and now >= season.closes_at else "open"
