"""How many neighbours a batch may have after memory ran out: less at once, and step by step more again."""

from __future__ import annotations

import math

GROWTH = 1.25  # from one level to the next
FIRST_PATIENCE = 20  # steps at a level before the next one is tried
LONGEST_PATIENCE = 1_280


class BatchLimit:
    """A limit beside the potential's own, endless until memory runs out for the first time.

    Where it does, the limit falls to the last level that held, or to half of what did not fit. A level has held when
    it kept somebody waiting for ``patience`` steps without trouble; then the next one is tried. A failure doubles the
    patience, so that tries at a limit that stays become rare; it is halved again when a level holds that had failed.
    Steps in which nobody waits count for nothing: a batch that is not full says nothing about a full one.
    """

    def __init__(self) -> None:
        self._pairs = math.inf
        self._patience, self._calm = FIRST_PATIENCE, 0
        self._held = self._failed = 0.0  # the last level that did, and what did not fit the last time
        self._is_failing = False  # in this step

    @property
    def pairs(self) -> float:
        """Neighbours that a batch may have."""
        return self._pairs

    def too_many(self, pairs: float) -> None:
        """A batch with so many did not fit. Of several in one step only the first is news of the level."""
        fallback = pairs / 2
        if not self._is_failing:
            self._failed, self._patience = pairs, min(2 * self._patience, LONGEST_PATIENCE)
            fallback = self._held if 0 < self._held < pairs else fallback
        self._pairs = min(self._pairs, fallback)
        self._held, self._calm, self._is_failing = 0.0, 0, True

    def after_step(self, *, is_full: bool, own_pairs: float) -> None:
        """is_full: whether somebody waits for room. own_pairs: the potential's own limit."""
        failed, self._is_failing = self._is_failing, False
        is_at_rest = self._pairs == math.inf and self._patience == FIRST_PATIENCE
        if failed or not is_full or is_at_rest:
            return
        self._calm += 1
        if self._calm == self._patience:
            self._holds(min(self._pairs, own_pairs), own_pairs)

    def _holds(self, level: float, own_pairs: float) -> None:
        """Try the next one."""
        self._calm, self._held = 0, level
        if level >= min(self._failed, own_pairs):
            self._patience = max(self._patience // 2, FIRST_PATIENCE)
        self._pairs = level * GROWTH if level * GROWTH < own_pairs else math.inf
