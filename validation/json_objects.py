"""Where the objects of a JSON file begin and end: one a line, one after the other, or the elements of one list.

Brackets are counted and strings passed over in one scan; nothing is parsed, so that nesting costs no memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(rb'\\.|["{}\[\]]', re.DOTALL)
_LINE = re.compile(rb"[^\n]+")
_SEPARATOR = re.compile(rb"[\s,]*")

_MAX_DEPTH = 100

Span = tuple[str, int, int, int]


def json_objects(data: bytes) -> Iterator[Span]:
    """Name, begin, end and first line of each object, at least one; the name is empty where there is only one.

    What is no object, and stands between two, is given as well, for reading to refuse.
    """
    begin = _after_space(data, 0, len(data))
    spans = _lines(data) if _is_one_a_line(data, begin) else _spans(data, begin)
    first = next(spans, None)
    if first is None:
        yield "", 0, len(data), 1
        return
    second = next(spans, None)
    yield ("1" if second else "", *first)
    if second:
        yield ("2", *second)
        for number, span in enumerate(spans, 3):
            yield (str(number), *span)


def _is_one_a_line(data: bytes, begin: int) -> bool:
    """Whether the first line is an object and the next one begins another: a broken line then costs only itself."""
    end = data.find(b"\n", begin)
    line = data[begin : begin + 1] + data[max(begin, end - 1) : end] if end >= 0 else b""
    following = _after_space(data, max(end, 0), len(data))
    return line == b"{}" and data[following : following + 1] in (b"{", b"")


def _lines(data: bytes) -> Iterator[tuple[int, int, int]]:
    line, position = 1, 0
    for match in _LINE.finditer(data):
        line += data.count(b"\n", position, match.start())
        position = match.start()
        if not match[0].isspace():
            yield match.start(), match.end(), line


def _spans(data: bytes, begin: int) -> Iterator[tuple[int, int, int]]:
    """Objects on top, or one level deep where the file is one list; whatever else stands there too."""
    top = 1 if data[begin : begin + 1] == b"[" else 0
    line, counted, last = 1, 0, begin + top
    for start, end in _bracketed(data, begin + top):
        for span in ((last, start), (start, end)):
            span_begin, span_end = _stripped(data, *span)
            if span_begin < span_end:
                line += data.count(b"\n", counted, span_begin)
                counted = span_begin
                yield span_begin, span_end, line
        last = end
    rest_begin, rest_end = _stripped(data, last, len(data))
    if data[rest_begin:rest_end] != b"]" * top:
        yield rest_begin, rest_end, line + data.count(b"\n", counted, rest_begin)


def _stripped(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """Without the commas and the space around."""
    begin = _after_space(data, begin, end)
    return begin, begin + len(data[begin:end].rstrip(b" \t\n,"))


def _after_space(data: bytes, begin: int, end: int) -> int:
    space = _SEPARATOR.match(data, begin, end)
    return space.end() if space else begin


def _bracketed(data: bytes, begin: int) -> Iterator[tuple[int, int]]:
    """Begin and end of what the outermost brackets enclose; the scan ends at brackets that close nothing, and at more
    within each other than any structure has."""
    depth, start, in_string = 0, begin, False
    for match in _TOKEN.finditer(data, begin):
        token = match[0]
        if token == b'"':
            in_string = not in_string
        elif in_string or token[:1] == b"\\":
            continue
        elif token in b"{[":
            start = match.start() if depth == 0 else start
            depth += 1
            if depth > _MAX_DEPTH:
                return
        else:
            depth -= 1
            if depth < 0:
                return
            if depth == 0:
                yield start, match.end()
