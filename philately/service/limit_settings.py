"""What the settings say of limits, caches and proxies, read from text. Nothing here needs Django's settings."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True, slots=True)
class Limit:
    """So many within so many seconds; a count of 0 is no limit."""

    count: int
    seconds: int


def limit_from(name: str, text: str) -> Limit:
    """``10/300`` is ten in 300 s, ``0`` is no limit."""
    count, _, seconds = text.partition("/")
    try:
        limit = Limit(int(count), int(seconds or 60))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} reads {text!r}; a limit reads 10/300, ten in 300 seconds") from error
    if limit.count < 0 or limit.seconds < 1:
        raise ImproperlyConfigured(f"{name} reads {text!r}; neither number may be negative")
    return limit


def cache_at(url: str, *, prefix: str) -> dict[str, Any]:
    """One of Django's caches: ``locmem://`` (of this process alone) or ``redis://host:6379/0``."""
    scheme = url.partition("://")[0]
    if scheme == "locmem":
        options: dict[str, Any] = {"MAX_ENTRIES": 100_000}
        return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": prefix, "OPTIONS": options}
    if scheme not in ("redis", "rediss", "unix"):
        raise ImproperlyConfigured(
            "CACHE_URL is locmem:// or redis://host:6379/0 (rediss:// with TLS, unix:// a socket)"
        )
    options = {
        "serializer": "philately.service.json_cache.Json",
        "socket_connect_timeout": 1.0,
        "socket_timeout": 1.0,
    }
    return {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": url,
        "KEY_PREFIX": prefix,
        "OPTIONS": options,
    }


def networks_from(texts: Iterable[str]) -> list[IPv4Network | IPv6Network]:
    """Addresses and networks among these; ``unix`` is none."""
    try:
        return [ip_network(text.strip(), strict=False) for text in texts if text.strip() not in ("", "unix")]
    except ValueError as error:
        raise ImproperlyConfigured(f"TRUSTED_PROXIES: {error}") from error
