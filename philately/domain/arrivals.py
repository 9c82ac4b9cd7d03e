"""Arrival numbers: of structures, and of what organisers decide between two of them."""

from django.db import connection
from django.db.models import F

from philately.models import Season


def next_arrivals(season_id: int, count: int = 1) -> int:
    """The first of so many numbers that nothing else of the season has. The season's row stays locked until the
    transaction in hand ends, so whatever has a lower number is committed before this is."""
    if not connection.in_atomic_block:
        raise RuntimeError("arrival numbers are taken in the transaction that uses them")
    Season.objects.filter(pk=season_id).update(next_arrival=F("next_arrival") + count)
    return Season.objects.values_list("next_arrival", flat=True).get(pk=season_id) - count
