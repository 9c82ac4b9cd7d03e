"""How often somebody may do something: counters in a cache that all web processes share.

A window begins at a multiple of its length, so one addition and one key per window are all there is; whoever does much
at the end of one window and the beginning of the next may do twice as much for a moment.

When the shared cache does not answer, each process counts for itself until it does: nobody is locked out by our fault,
and nobody may guess without end either.
"""

import hashlib
import logging
import math
import time

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

_ASIDE_S = 5.0  # so long a cache that failed is not asked again: each question may take as long as its time limit
_MARGIN_S = 60  # a counter outlives its window by this, whatever the clocks of other machines say
_aside_until = 0.0


class TooMany(Exception):
    """Too often within the limit's time; the message says when to try again."""

    def __init__(self, retry_after_s: int) -> None:
        unit = f"{retry_after_s} s" if retry_after_s < 120 else f"{math.ceil(retry_after_s / 60)} min"
        super().__init__(f"too many requests of this kind; please try again in {unit}")
        self.retry_after_s = retry_after_s


def spend(name: str, who: str) -> None:
    """Count one more under a limit of the settings; raises TooMany beyond it. who: an account, a key or an address."""
    limit = settings.LIMITS[name]
    if not limit.count:
        return
    now = time.time()
    window = int(now // limit.seconds)
    left_s = (window + 1) * limit.seconds - now
    told = hashlib.sha256(who.encode(errors="replace")).hexdigest()[:32]  # of any length and any characters
    if _count(f"limit:{name}:{told}:{window}", math.ceil(left_s) + _MARGIN_S) > limit.count:
        raise TooMany(max(1, math.ceil(left_s)))


def _count(key: str, kept_s: int) -> int:
    """One more; how many there are then."""
    global _aside_until
    if time.monotonic() >= _aside_until:
        try:
            return _one_more(caches["default"], key, kept_s)
        except (RedisError, OSError) as error:
            _aside_until = time.monotonic() + _ASIDE_S
            log.error("the cache does not answer, this process counts for itself meanwhile: %s", error)
    return _one_more(caches["local"], key, kept_s)


def _one_more(cache: BaseCache, key: str, kept_s: int) -> int:
    while not cache.add(key, 1, kept_s):
        try:
            return int(cache.incr(key))
        except ValueError:
            continue  # it expired in between
    return 1
