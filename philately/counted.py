"""What this process did and monitoring asks for, in memory until ``domain/tallies.py`` writes it down."""

import threading
from collections import Counter

Key = tuple[str, str]  # what was done, and to what kind

_counts: Counter[Key] = Counter()
_lock = threading.Lock()


def count(name: str, label: str = "", number: int = 1) -> None:
    if number:
        with _lock:
            _counts[name, label] += number


def take() -> dict[Key, int]:
    """Everything since the last time; whoever takes it writes it down or counts it again."""
    with _lock:
        taken = dict(_counts)
        _counts.clear()
    return taken
