"""Fingerprints in memory, to be searched for what is near."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from validation.fingerprint import Fingerprint, Limits, near
from validation.rules import Tolerances

_FIRST_ROOM = 4  # rows; most formulas have few structures


class Gathered:
    """Fingerprints by number, to be searched for what may match others."""

    def __init__(self, tolerances: Tolerances) -> None:
        self._limits = Limits.of(tolerances)
        self._shelves: dict[str, _Shelf] = {}

    def add(self, number: int, fingerprints: Iterable[Fingerprint]) -> None:
        for fingerprint in fingerprints:
            self._shelves.setdefault(fingerprint.key, _Shelf(fingerprint)).add(number, fingerprint)

    def near(self, fingerprints: Iterable[Fingerprint]) -> list[tuple[int, float]]:
        """Numbers and distances of all that is near a structure with these fingerprints, by number."""
        distances: dict[int, float] = {}
        for fingerprint in fingerprints:
            if (shelf := self._shelves.get(fingerprint.key)) is not None:
                for number, distance in shelf.near(fingerprint, self._limits):
                    distances[number] = min(distance, distances.get(number, distance))
        return sorted(distances.items())


class _Shelf:
    """The fingerprints of one key as rows of an array that grows."""

    def __init__(self, first: Fingerprint) -> None:
        self._rows = np.empty((_FIRST_ROOM, len(first.lengths) + len(first.distances)), np.float32)
        self._numbers: list[int] = []

    def add(self, number: int, fingerprint: Fingerprint) -> None:
        count = len(self._numbers)
        if count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[count] = np.concatenate([fingerprint.lengths, fingerprint.distances])
        self._numbers.append(number)

    def near(self, fingerprint: Fingerprint, limits: Limits) -> list[tuple[int, float]]:
        rows, distances = near(fingerprint, self._rows[: len(self._numbers)], limits)
        return [(self._numbers[row], distance) for row, distance in zip(rows.tolist(), distances.tolist(), strict=True)]
