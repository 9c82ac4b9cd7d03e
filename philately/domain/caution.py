"""How many at once: after a fault or a death fewer and fewer, down to the one that is to blame.

What takes a thousand structures at a time must not lose a thousand, nor stop for ever, for one of them.
"""

from dataclasses import dataclass

_STEP = 5  # each time a thirty-second of it: a thousand, thirty-one, one
_ALONE = 3


def narrowed(whole: int, level: int) -> int:
    """whole: what is taken at once while nothing is wrong. level: how often something was."""
    return 1 if level >= _ALONE else max(1, whole >> (_STEP * level))


@dataclass(slots=True)
class Caution:
    """Goes through a queue from its front. level: how often what is in front failed, or killed its worker, as a part of
    more; what came before it is done and gone, so it is among as many as were tried together last."""

    whole: int
    level: int = 0
    _ahead: int = 0  # that many are still to be passed with caution

    def __post_init__(self) -> None:
        self._look_out()

    @property
    def size(self) -> int:
        return narrowed(self.whole, self.level)

    @property
    def alone(self) -> bool:
        """Whether what is in hand would be to blame for what goes wrong now."""
        return self.level > 0 and self.size == 1

    def fell(self) -> None:
        self.level += 1
        self._look_out()

    def passed(self, count: int) -> None:
        self._ahead -= count
        if self._ahead <= 0:
            self.level = 0

    def _look_out(self) -> None:
        self._ahead = narrowed(self.whole, self.level - 1) if self.level else 0
