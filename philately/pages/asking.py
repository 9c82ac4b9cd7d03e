"""What a visitor asks for in an address: numbers, and which rows of a table."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Self
from urllib.parse import urlencode

from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class AskedRows:
    """Which rows of a table. A table that can be filtered by more adds fields. after: the row before the first."""

    reason: str = ""
    after: int = 0

    @classmethod
    def of(cls, request: HttpRequest) -> Self:
        words = {field.name: request.GET.get(field.name, "") for field in fields(cls) if field.name != "after"}
        return cls(**words, after=number(request.GET.get("after", "")) or 0)

    @property
    def query(self) -> str:
        return urlencode({name: value for name, value in asdict(self).items() if value})

    @property
    def filters(self) -> str:
        """The same rows from the first on."""
        return replace(self, after=0).query


def number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
