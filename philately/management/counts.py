"""Numbers on a command line."""

from argparse import ArgumentTypeError


def at_least_one(text: str) -> int:
    """An argument's type: a whole number from 1."""
    if not text.isdigit() or not int(text):
        raise ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)
