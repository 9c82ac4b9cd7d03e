"""Clients that ask a web server for pages at once, each on a connection of its own, and how long the answers took."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmark.addresses import Address

_FIRST_BYTES = 1000  # of a table without an end


class Refused(RuntimeError):
    """A page answered with anything but 200 or 204."""


@dataclass(slots=True)
class Answers:
    """Seconds by page, of every answer."""

    took_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def percentile(self, name: str, share: float) -> float:
        """In seconds, of one page."""
        ordered = sorted(self.took_s[name])
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ask_once(port: int, pages: Sequence[Address], cookies: Mapping[str, str]) -> Answers:
    """Each page, one after the other. Raises Refused."""
    answers, connection = Answers(), _connection(port)
    for page in pages:
        answers.took_s[page.name].append(_ask(connection, page, cookies))
    connection.close()
    return answers


def ask_all(
    port: int,
    pages: Sequence[Address],
    cookies: Mapping[str, str],
    *,
    n_clients: int,
    seconds: float,
    think_s: float,
) -> Answers:
    """Every client goes through all pages, once at least, in orders of its own, and thinks after each answer: a time
    that is drawn evenly between nothing and twice ``think_s``. Raises Refused."""
    answers, faults = Answers(), list[Exception]()
    end = time.monotonic() + seconds
    lock = threading.Lock()

    def client(number: int) -> None:
        dice, connection = random.Random(number), _connection(port)
        time.sleep(dice.uniform(0.0, 2 * think_s))
        try:
            for page in _in_rounds(pages, dice):
                if faults or (page is None and time.monotonic() > end):
                    break
                if page is not None:
                    took_s = _ask(connection, page, cookies)
                    with lock:
                        answers.took_s[page.name].append(took_s)
                    time.sleep(dice.uniform(0.0, 2 * think_s))
        except (Refused, OSError, http.client.HTTPException) as error:
            faults.append(error)
        finally:
            connection.close()

    clients = [threading.Thread(target=client, args=(number,)) for number in range(n_clients)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    if faults:
        raise faults[0]
    return answers


def _in_rounds(pages: Sequence[Address], dice: random.Random) -> Iterator[Address | None]:
    """All pages, and None after each round of them."""
    while True:
        yield from dice.sample(pages, len(pages))
        yield None


def _connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=120)


def _ask(connection: http.client.HTTPConnection, page: Address, cookies: Mapping[str, str]) -> float:
    """Seconds until the whole answer is here, of a table until its first rows are."""
    headers = {"Cookie": f"sessionid={cookies[page.who]}"} if page.who in cookies else {}
    began = time.perf_counter()
    try:
        connection.request("GET", page.path, headers=headers)
        answer = connection.getresponse()
    except (http.client.HTTPException, ConnectionError):  # the server ends a connection that was idle for a while
        connection.close()
        began = time.perf_counter()
        connection.request("GET", page.path, headers=headers)
        answer = connection.getresponse()
    endless = page.path.endswith(".csv")
    text = answer.read(_FIRST_BYTES) if endless else answer.read()
    took_s = time.perf_counter() - began
    if endless:
        connection.close()
    if answer.status not in (200, 204):
        raise Refused(f"{page.path} answered {answer.status}: {text[:200]!r}")
    return took_s
