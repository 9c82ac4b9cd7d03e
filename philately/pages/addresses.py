"""Where a request comes from, as far as that can be believed."""

from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest

_HOME = 64  # bits of an IPv6 address that one connection has; the others its owner may choose


def address_of(request: HttpRequest) -> str:
    """The sender's address; of IPv6 the network that a household has.

    Each trusted proxy appends the address it was spoken to from. So X-Forwarded-For is read from its end, as long as
    the one who says it is trusted; what stands before that anybody may have written.
    """
    speaker = request.META.get("REMOTE_ADDR", "")
    told = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    while told and _is_trusted(speaker):
        speaker = told.pop()
    return _grouped(speaker)


def _is_trusted(speaker: str) -> bool:
    if not speaker:
        return "unix" in settings.TRUSTED_PROXIES  # a socket file has no address
    try:
        address = ip_address(speaker)
    except ValueError:
        return False
    return any(address in network for network in settings.TRUSTED_NETWORKS)


def _grouped(speaker: str) -> str:
    try:
        address = ip_address(speaker)
    except ValueError:
        return speaker[:100]
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> (128 - _HOME) << (128 - _HOME)))
