"""The platform configured as in production, for a process that is started to be measured."""

from __future__ import annotations

import secrets

_MANY = "1000000000/60"  # counted, and never used up: all clients are a few accounts at one address
_LIMITS = (
    *("LOGINS_OF_ACCOUNT", "LOGINS_FROM_ADDRESS", "SIGNUPS_FROM_ADDRESS", "CODES", "UPLOADS", "TABLES", "DUMPS"),
    *("REQUESTS_BY_KEY", "WRONG_KEYS"),
)


def production() -> dict[str, str]:
    """What docs/operations.md recommends where others are served, as environment: behind a proxy that ends TLS, static
    files under names with checksums, staff with a second factor."""
    return {
        "HTTPS": "1",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "METRICS_TOKEN": secrets.token_urlsafe(20),
        "DEBUG": "0",
        "PLAIN_STATIC": "0",
        **{f"LIMIT_{name}": _MANY for name in _LIMITS},
    }
