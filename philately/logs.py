"""Log records that say what they are about, one line each, as text or as JSON.

Ids come from two places: ``about``, ``carries`` and ``begin`` hold for whatever is logged within them, in this thread;
``extra={"candidate": …}`` names them for one record. What a stranger named, such as a file, can neither begin a line
nor colour a terminal: everything that does not print is escaped.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import wraps
from typing import ParamSpec, TypeVar

from pythonjsonlogger.json import JsonFormatter

# What a record may be about, in the order in which it is written; anything else in ``extra`` stays out of the log.
IDS = (
    *("season", "batch", "shard", "candidate", "run", "scale", "dry_run", "opinion", "lock"),
    *("task", "task_name", "request_id"),
)
LIMIT = 8000  # characters of a message, and of a traceback: texts of strangers are quoted in errors

_P = ParamSpec("_P")
_R = TypeVar("_R")
_MARK = "  | "

_about: ContextVar[Mapping[str, object]] = ContextVar("about", default={})  # noqa: B039 - never changed in place


@contextmanager
def about(**ids: object) -> Iterator[None]:
    """Every record within carries these ids, beside those that hold already."""
    token = _about.set({**_about.get(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


def carries(*names: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """The same for all that a function does: its first arguments, ids or rows, under these names."""

    def decorate(deed: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(deed)
        def within(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with about(**{name: getattr(value, "pk", value) for name, value in zip(names, args, strict=False)}):
                return deed(*args, **kwargs)

        return within

    return decorate


def begin(**ids: object) -> None:
    """From now on these ids and no others, until ``begin`` is called again; for what has no block of its own."""
    _about.set(ids)


def ids_of(record: logging.LogRecord) -> dict[str, object]:
    """What a record that is written in this thread is about."""
    known = {**_about.get(), **{name: record.__dict__[name] for name in IDS if name in record.__dict__}}
    return {name: known[name] for name in IDS if known.get(name) is not None}


def printable(text: str) -> str:
    """The text with everything escaped that does not print, line ends and halves of surrogate pairs included."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


class Lines(logging.Formatter):
    """``time level logger message [season=1 candidate=7]``; a traceback follows on lines that begin with a mark."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.message = _shortened(record.getMessage())
        record.asctime = self.formatTime(record)
        ids = " ".join(f"{name}={value}" for name, value in ids_of(record).items())
        line = self.formatMessage(record) + (f" [{ids}]" if ids else "")
        trace = _traceback(self, record).splitlines()
        return "\n".join([printable(line), *(_MARK + printable(part) for part in trace)])


class JsonLines(JsonFormatter):
    """One JSON object a line: time, level, logger, process, message, ids and, where there is one, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        data: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": _shortened(record.getMessage()),
            **ids_of(record),
        }
        if trace := _traceback(self, record):
            data["traceback"] = trace
        return self.serialize_log_record(data)


FORMATS: dict[str, type[logging.Formatter]] = {"line": Lines, "json": JsonLines}


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Of the exception that is logged, or ``extra={"traceback": …}`` of one that another process raised."""
    parts = [str(record.__dict__.get("traceback", ""))]
    if record.exc_info and record.exc_info[0] is not None:
        parts.append(str(formatter.formatException(record.exc_info)))
    if record.stack_info:
        parts.append(record.stack_info)
    return _shortened("\n".join(part for part in parts if part))


def _shortened(text: str) -> str:
    """Its beginning and its end, which say what went on and what went wrong."""
    if len(text) <= LIMIT:
        return text
    return f"{text[: LIMIT // 2]} … {len(text) - LIMIT} characters … {text[-LIMIT // 2 :]}"
