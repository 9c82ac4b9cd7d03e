"""What a relaxed crystal must satisfy to be placed: that its relaxation converged, then the checks of its structure."""

from __future__ import annotations

from typing import Protocol

from validation.checks import check_relaxed
from validation.crystal import Crystal
from validation.relaxation import Stopped
from validation.rules import Reason, Rejected, RelaxationSettings, Rules


class HowItEnded(Protocol):
    """The end of a relaxation, fresh or read back from where it is kept.

    stopped: a value of ``Stopped``. The largest force norm and stress component may be None where it exploded.
    """

    @property
    def stopped(self) -> str: ...
    @property
    def steps(self) -> int: ...
    @property
    def fmax_ev_per_ang(self) -> float | None: ...
    @property
    def smax_ev_per_ang3(self) -> float | None: ...
    @property
    def note(self) -> str: ...


def accept_relaxed(
    initial: Crystal, relaxed: Crystal, end: HowItEnded, *, rules: Rules, settings: RelaxationSettings
) -> None:
    """Raise Rejected where the relaxation did not end well or its crystal breaks a rule.

    settings: what the relaxation was to reach; the sentence names its limits.
    """
    if end.stopped == Stopped.EXPLODED:
        raise Rejected(Reason.EXPLODED, f"its relaxation ran away after {end.steps} steps: {end.note}")
    if end.stopped != Stopped.CONVERGED:
        raise Rejected(
            Reason.NOT_CONVERGED,
            f"after {end.steps} steps the largest force is {end.fmax_ev_per_ang:.3f} eV/Å "
            f"(limit {settings.fmax_ev_per_ang:g}) and the largest stress {end.smax_ev_per_ang3:.4f} eV/Å³ "
            f"(limit {settings.smax_ev_per_ang3:g})",
        )
    check_relaxed(initial, relaxed, rules)
