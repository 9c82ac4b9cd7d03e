"""What a hostile or damaged upload is, and what must come of it: hostile_texts and hostile_archives list the kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from validation.members import UploadLimits
from validation.rules import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind, made when it is needed.

    Either the upload as a whole is refused, with these words, or each of its structures has a verdict: a reason, with
    the words in the last sentence, or the formula of what is accepted.
    """

    name: str
    make: Callable[[], bytes]
    file: str = "bad.cif"
    refused: str = ""
    verdicts: tuple[Reason | str, ...] = ()
    words: str = ""
    limits: UploadLimits = field(default_factory=UploadLimits)
