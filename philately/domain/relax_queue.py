"""A queue of structures to be relaxed: rows that wait on one scale, and what becomes of those that were claimed."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Generic, TypeVar

from django.db.models import QuerySet

from philately.models import RelaxationFact
from philately.models.batches import Leased
from validation.crystal import Crystal
from validation.relaxation import Relaxation

RowT = TypeVar("RowT", bound=Leased)


class Queue(ABC, Generic[RowT]):
    """Rows on one scale that wait to be relaxed, and what becomes of those that carry a worker's token.

    atoms: the field that says how large a row's structure is.
    """

    atoms: str

    @abstractmethod
    def waiting(self) -> QuerySet[RowT]:
        """What may be claimed."""

    @abstractmethod
    def in_order(self) -> QuerySet[RowT]:
        """The same, the next first."""

    @abstractmethod
    def claim(self, keys: list[int], token: str) -> list[RowT]:
        """Those of them that still waited carry the token now, and one attempt more."""

    @abstractmethod
    def initial_hash(self, row: RowT) -> str: ...

    @abstractmethod
    def start(self, row: RowT) -> Crystal: ...

    @abstractmethod
    def save(self, made: Sequence[tuple[RowT, Relaxation]], provenance: dict[str, object]) -> list[RelaxationFact]:
        """What was made of the rows as facts, in the same order."""

    @abstractmethod
    def commit(self, ended: Sequence[tuple[RowT, RelaxationFact]]) -> set[int]:
        """Move the rows on, each while its lease holds; the keys of those that moved."""

    @abstractmethod
    def fail(self, row: RowT, error: Exception, token: str) -> None:
        """Record a fault of ours, if the row still carries the token."""

    @abstractmethod
    def renew(self, token: str) -> int:
        """Prolong the claim; says how many rows it still holds."""

    @abstractmethod
    def held(self, token: str) -> set[int]:
        """Keys of the rows that carry the token."""

    def ring(self, *, now: bool = False) -> None:
        """For whoever goes on with what was committed; now, or when it was not done a moment ago."""

    @abstractmethod
    def give_back(self, keys: Collection[int], token: str) -> None:
        """They wait again, and no attempt counts."""
