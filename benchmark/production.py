"""The platform configured as in production, for a process that is started to be measured."""

from __future__ import annotations

import os
import secrets
from uuid import uuid4

from redis import Redis, RedisError

REDIS = "redis://127.0.0.1:6379/0"  # or what BENCHMARK_CACHE_URL names
_MANY = "1000000000/60"  # counted, and never used up: all clients are a few accounts at one address
_LIMITS = (
    *("LOGINS_OF_ACCOUNT", "LOGINS_FROM_ADDRESS", "SIGNUPS_FROM_ADDRESS", "CODES", "UPLOADS", "TABLES", "DUMPS"),
    *("REQUESTS_BY_KEY", "WRONG_KEYS"),
)


def production(*, several: bool) -> dict[str, str]:
    """What docs/operations.md recommends where others are served, as environment: behind a proxy that ends TLS, static
    files under names with checksums, staff with a second factor. several: as ``.env.example`` has it, two processes of
    the web server, and limits counted in Redis where BENCHMARK_CACHE_URL names one, or one answers on the usual port.
    """
    return {
        **(_several() if several else {}),
        "HTTPS": "1",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "METRICS_TOKEN": secrets.token_urlsafe(20),
        "DEBUG": "0",
        "PLAIN_STATIC": "0",
        **{f"LIMIT_{name}": _MANY for name in _LIMITS},
    }


def _several() -> dict[str, str]:
    url = os.environ.get("BENCHMARK_CACHE_URL", REDIS)
    try:
        Redis.from_url(url, socket_connect_timeout=3).ping()
    except (RedisError, OSError):
        return {"WEB_CONCURRENCY": "2"}
    return {"WEB_CONCURRENCY": "2", "CACHE_URL": url, "CACHE_PREFIX": f"benchmark-{uuid4().hex[:8]}"}
