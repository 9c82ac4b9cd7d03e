"""Clients that ask a web server for pages: alone, one after the other, or many at once, each on its own connection."""

from __future__ import annotations

import http.client
import math
import random
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.addresses import FINE, Address

_FIRST_BYTES = 1000  # of a table without an end

Headers = Mapping[str, Mapping[str, str]]  # by who asks


class Refused(RuntimeError):
    """An address answered with anything but what was asked for."""


@dataclass(slots=True)
class Answers:
    """Seconds by page, of every answer; and how long all of them took together."""

    took_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    seconds: float = 0.0

    def percentile(self, name: str, share: float) -> float:
        """In seconds, of one page: the shortest that at least such a share of its answers did not exceed."""
        ordered = sorted(self.took_s[name])
        return ordered[math.ceil(share * len(ordered)) - 1]

    def add(self, others: Answers) -> None:
        """Given after these."""
        for name, took_s in others.took_s.items():
            self.took_s[name] += took_s
        self.seconds += others.seconds


def ask_once(port: int, pages: Sequence[Address], headers: Headers) -> Answers:
    """Each page, one after the other. Raises Refused."""
    answers, connection = Answers(), _connection(port)
    for page in pages:
        answers.took_s[page.name].append(_ask(connection, page, headers))
    connection.close()
    return answers


def ask_alone(port: int, pages: Sequence[Address], headers: Headers, *, times: int, server: int) -> dict[str, float]:
    """CPU seconds of the server's processes an answer, by page, while nobody else asks. Of a table as much as is made
    until its reader goes away. server: the process of which those that answer are children. Raises Refused."""
    cost_s, connection = {}, _connection(port)
    for page in pages:
        before = _cpu_s(server)
        for _ in range(times):
            _ask(connection, page, headers)
        cost_s[page.name] = (_cpu_s(server) - before) / times
    connection.close()
    return cost_s


def _cpu_s(parent: int) -> float:
    """What all threads of its children have computed. The kernel tells it in ns."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    threads = [one for child in children for one in Path(f"/proc/{child}/task").glob("*/schedstat")]
    return sum(int(one.read_text().split()[0]) for one in threads) / 1e9


def ask_all(
    port: int, pages: Sequence[Address], headers: Headers, *, n_clients: int, rounds: int, think_s: float
) -> Answers:
    """Every client goes through all pages so many times, in orders of its own, and thinks after each answer: a time
    that is drawn evenly between nothing and twice ``think_s``. Raises Refused."""
    answers, faults = Answers(), list[Exception]()
    lock, began = threading.Lock(), time.monotonic()

    def client(number: int) -> None:
        dice, connection = random.Random(number), _connection(port)
        time.sleep(dice.uniform(0.0, 2 * think_s))
        try:
            for page in (page for _ in range(rounds) for page in dice.sample(pages, len(pages))):
                if faults:
                    break
                took_s = _ask(connection, page, headers)
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
    answers.seconds = time.monotonic() - began
    return answers


def _connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=120)


def _ask(connection: http.client.HTTPConnection, page: Address, headers: Headers) -> float:
    """Seconds until the whole answer is here, of a table until its first rows are."""
    shown = dict(headers.get(page.who, {}))
    began = time.perf_counter()
    try:
        connection.request(page.method, page.path, headers=shown)
        answer = connection.getresponse()
    except (http.client.HTTPException, ConnectionError):  # the server ends a connection that was idle for a while
        connection.close()
        began = time.perf_counter()
        connection.request(page.method, page.path, headers=shown)
        answer = connection.getresponse()
    endless = page.path.endswith(".csv")
    text = answer.read(_FIRST_BYTES) if endless else answer.read()
    took_s = time.perf_counter() - began
    if endless:
        connection.close()
    if answer.status not in FINE:
        raise Refused(f"{page.method} {page.path} answered {answer.status}: {text[:200]!r}")
    return took_s
