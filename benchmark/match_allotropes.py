"""A crowd: thousands of structures of one formula, all matched with each other."""

from __future__ import annotations

import time

from benchmark.allotropes import allotropes
from benchmark.counting import Counted
from validation import matching
from validation.matching import find_duplicates
from validation.rules import Tolerances


def crowd(count: int, tolerances: Tolerances) -> dict[str, float]:
    """CPU time, and how often pymatgen and the compiled search were asked."""
    crystals = allotropes(count)
    find_duplicates(crystals[:2], tolerances=tolerances)  # so that everything is compiled
    with Counted(matching, "may_fit") as searches, Counted(matching, "confirmed") as fits:
        started = time.process_time()
        found = find_duplicates(crystals, tolerances=tolerances)
        spent_s = time.process_time() - started
    return {
        "allotropes": count,
        "allotropes_s": spent_s,
        "allotropes_distinct": sum(original is None for original in found),
        "allotropes_fits": fits.calls,
        "allotropes_searches": searches.calls,
    }
