"""A text to read, what reading it gave, and both as frames.

What comes from a child is looked at as closely as what comes from a stranger: a hostile text may have taken it over.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hull.entries import SYMBOLS
from validation.blocks import Format
from validation.crystal import Crystal
from validation.fingerprint import Fingerprint
from validation.frames import BadFrame, Fields, encode
from validation.matching import Description
from validation.reduction import SYMPREC_ANG
from validation.rules import Reason, Rejected, Rules
from validation.spacegroup import symmetry_of

MAX_ANSWER_BYTES = 1 << 23  # a crystal of 300,000 sites
_MAX_SENTENCE = 2000  # characters
_MAX_TRACEBACK = 20_000
_MAX_KEY = 120
_NUMBERS = ("sites", "value", "limit")  # of a rejection, where it has them


@dataclass(frozen=True, slots=True)
class Text:
    """One structure as it was sent, and the line of its file where it begins. Bytes are UTF-8."""

    text: bytes | str
    first_line: int = 1
    format: Format = Format.CIF

    def encoded(self) -> bytes:
        return self.text if isinstance(self.text, bytes) else self.text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong on our side. kind: the exception's name; ``ChildDied`` where a process did not live to say."""

    kind: str
    message: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


@dataclass(frozen=True, slots=True)
class Read:
    """What became of one text: exactly one of the first three. The others are where they were asked for and found."""

    crystal: Crystal | None = None
    rejection: Rejected | None = None
    fault: Fault | None = None
    space_group: int | None = None
    fingerprints: tuple[Fingerprint, ...] = ()


class OutOfMemory(Exception):
    """A child says that its memory did not suffice for a text."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What texts are read by, and what is asked of them. known_elements: symbols that the judge knows."""

    rules: Rules
    known_elements: frozenset[str]
    with_space_group: bool = False
    with_fingerprints: bool = False  # for the rules' twins

    def fields(self) -> Fields:
        return {
            "rules": self.rules.to_json(),
            "known_elements": sorted(self.known_elements),
            "space_group": self.with_space_group,
            "fingerprints": self.with_fingerprints,
        }

    @classmethod
    def of(cls, fields: Fields) -> Terms:
        rules, known_elements = Rules.from_json(fields["rules"]), frozenset(fields["known_elements"])
        return cls(rules, known_elements, fields["space_group"], fields["fingerprints"])


def encode_texts(texts: Iterable[Text]) -> bytes:
    encoded = [(text.encoded(), text) for text in texts]
    listed = [
        {"size": len(data), "first_line": text.first_line, "bytes": isinstance(text.text, bytes), "format": text.format}
        for data, text in encoded
    ]
    return encode({"texts": listed}, b"".join(data for data, _ in encoded))


def decode_texts(fields: Fields, blob: bytes) -> Iterator[Text]:
    begin = 0
    for item in fields["texts"]:
        data = blob[begin : begin + item["size"]]
        begin += item["size"]
        sent = data if item["bytes"] else data.decode("utf-8", "surrogatepass")
        yield Text(sent, item["first_line"], Format(item["format"]))


def encode_crystal(crystal: Crystal, terms: Terms) -> bytes:
    """A crystal, and what else the caller asked for."""
    packed, fingerprints = crystal.pack(), b""
    fields: Fields = {"accepted": len(packed)}
    if terms.with_space_group:
        symmetry = symmetry_of(crystal, SYMPREC_ANG)
        fields["space_group"] = None if symmetry is None else symmetry.number
    if terms.with_fingerprints:
        found = [(one.key, one.pack()) for one in Description.of(crystal, terms.rules.twin).fingerprints]
        fields["fingerprints"] = [(key, len(blob)) for key, blob in found]
        fingerprints = b"".join(blob for _, blob in found)
    return encode(fields, packed + fingerprints)


def encode_rejection(rejection: Rejected) -> bytes:
    numbers = {name: value for name, value in vars(rejection).items() if name in _NUMBERS}
    return encode(
        {"rejected": {"reason": rejection.reason, "detail": rejection.detail[:_MAX_SENTENCE], "numbers": numbers}}
    )


def encode_error(error: BaseException) -> bytes:
    if isinstance(error, MemoryError):
        return encode({"out_of_memory": True})
    trace = "".join(traceback.format_exception(error))[-_MAX_TRACEBACK:]
    return encode({"failed": {"kind": type(error).__name__, "message": str(error)[:_MAX_SENTENCE], "traceback": trace}})


def decode_answer(fields: Fields, blob: bytes) -> Read:
    """Raises OutOfMemory, and BadFrame for what is no answer."""
    try:
        if "accepted" in fields:
            size = int(fields["accepted"])
            return Read(
                crystal=_crystal(blob[:size]),
                space_group=_space_group(fields.get("space_group")),
                fingerprints=tuple(_fingerprints(fields.get("fingerprints", ()), blob[size:])),
            )
        if "rejected" in fields:
            return Read(rejection=_rejection(fields["rejected"]))
        if "failed" in fields:
            return Read(fault=_fault(fields["failed"]))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadFrame(f"no answer: {error}"[:200]) from error
    if "out_of_memory" in fields:
        raise OutOfMemory
    raise BadFrame("no answer")


def _crystal(blob: bytes) -> Crystal:
    crystal = Crystal.unpack(blob)
    numbers = blob[len(blob) - len(crystal) :]  # a byte each: a tenth of the time that a small array takes
    if not numbers or min(numbers) < 1 or max(numbers) > len(SYMBOLS):
        raise ValueError("sites without an element")
    frac = crystal.frac_coords
    if not (np.isfinite(crystal.lattice).all() and frac.min() >= 0.0 and frac.max() < 1.0):  # of NaN: NaN
        raise ValueError("a cell or sites out of range")
    return crystal


def _fingerprints(listed: Iterable[tuple[str, int]], blob: bytes) -> Iterator[Fingerprint]:
    for key, size in listed:
        fingerprint = Fingerprint.unpack(_shortened(key, _MAX_KEY), blob[:size])
        if not (fingerprint.n_atoms > 0 and np.isfinite(fingerprint.distances).all()):
            raise ValueError("a fingerprint of nothing")
        if not np.isfinite(fingerprint.lengths).all():
            raise ValueError("a fingerprint without lengths")
        yield fingerprint
        blob = blob[size:]


def _space_group(number: Any) -> int | None:
    if number is None:
        return None
    if number not in range(1, 231):
        raise ValueError("a space group that does not exist")
    return int(number)


def _rejection(fields: Fields) -> Rejected:
    numbers = {name: _number(name, value) for name, value in fields["numbers"].items()}
    return Rejected(Reason(fields["reason"]), _shortened(fields["detail"], _MAX_SENTENCE), **numbers)


def _number(name: str, value: Any) -> Any:
    if name == "sites":
        return tuple(int(site) for site in value)
    return None if value is None else float(value)


def _fault(fields: Fields) -> Fault:
    return Fault(
        _shortened(fields["kind"], 100),
        _shortened(fields["message"], _MAX_SENTENCE),
        _shortened(fields["traceback"], _MAX_TRACEBACK),
    )


def _shortened(text: object, limit: int) -> str:
    if not isinstance(text, str):
        raise ValueError("a sentence that is no text")
    return text[:limit]
