"""What a structure must satisfy to be relaxed, and what its relaxation must satisfy to be placed."""

from __future__ import annotations

from typing import Protocol

from validation.blocks import Format
from validation.checks import check_initial, check_relaxed
from validation.crystal import Crystal
from validation.reading import read_structure
from validation.reduction import primitive
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


def accept_initial(
    text: str, rules: Rules, known_elements: frozenset[str], *, format: Format = Format.CIF, first_line: int = 1
) -> Crystal:
    """Phase 1 of one structure: read it, check it as it was written, and reduce it to the primitive cell.

    The checks come before the reduction, so that sentences name the file's own sites and a hostile cell never reaches
    the symmetry search. first_line: where the text begins in its file. Raises Rejected.
    """
    crystal = read_structure(text, rules, format=format, first_line=first_line)
    check_initial(crystal, rules, known_elements)
    return primitive(crystal)


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
