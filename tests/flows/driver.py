"""A season's life from outside pytest's database: ``python tests/flows/driver.py DEED …`` in a platform's environment.

prepare [morse ELEMENT …]: migrate, build the emt release, or one of Morse's, open a season.
submit FILE USER: hand a file in.
key USER: a new API key of the user; prints it as JSON.
alone: do in this process what waits, one phase after the other.
obey: the same deeds one after the other, each a line of JSON on stdin; answers with what it would have printed.
wait STATE N SECONDS: until so many are in it; prints the states as JSON.
result [storage]: everything that must not depend on workers, as JSON; fails where an audit of the hull finds a
    difference, or one of the storage anything that belongs to nothing.
"""

import contextlib
import io
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "philately.settings")

import django

django.setup()

from django.core.files.uploadedfile import SimpleUploadedFile  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import close_old_connections  # noqa: E402

from philately.domain import parse, place, reading, relax  # noqa: E402
from philately.domain.audits import audit  # noqa: E402
from philately.domain.intake import Method, accept_upload, read_batches  # noqa: E402
from philately.domain.keys import make_key  # noqa: E402
from philately.domain.releases import import_release  # noqa: E402
from philately.domain.seasons import SeasonPlan, join, open_season  # noqa: E402
from philately.domain.storage_checks import audit_storage  # noqa: E402
from philately.models import (  # noqa: E402
    Candidate,
    HullPoint,
    LogEntry,
    Phase,
    Placement,
    RelaxationFact,
    ScoreEntry,
    Season,
    Shard,
    User,
)
from philately.states import FINAL  # noqa: E402


def prepare(judge: str = "emt", *elements: str) -> None:
    from tests.releases import write_emt_release, write_morse_release  # late: the other deeds need no relaxation

    call_command("migrate", verbosity=0)
    path = Path(tempfile.mkdtemp()) / f"{judge}-elements.parquet"
    if judge == "morse":
        write_morse_release(path, elements)
    else:
        write_emt_release(path)
    release, _ = import_release(path)
    open_season(SeasonPlan(slug="alloys", name="Alloys", release=release))


def submit(file: str, user: str) -> None:
    season = Season.objects.get()
    member = join(season, User.objects.get_or_create(username=user)[0])
    path = Path(file)
    upload = SimpleUploadedFile(path.name, path.read_bytes())
    accept_upload(member, upload, Method("strained alloys"), consent=True)


def key(user: str) -> None:
    print(json.dumps(make_key(User.objects.get_or_create(username=user)[0], "a flow")))


def alone() -> None:
    season = Season.objects.get()
    read_batches(season.pk)
    for shard in Shard.objects.filter(state="waiting").order_by("pk"):
        parse.parse_shard(shard.pk)
    reading.leave()
    while relax.relax_some(season.scale_id):
        pass
    place.place_waiting(season.pk)


def wait(state: str, at_least: str, seconds: str) -> None:
    """Until so many candidates are in a state, or everything is final; with the state ``final`` only the latter."""
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        states = Counter(Candidate.objects.values_list("state", flat=True))
        unread = Season.objects.get().batches.filter(state="uploaded").exists()
        final = bool(states) and not unread and set(states) <= {str(name) for name in FINAL}
        if final or (state != "final" and states[state] >= int(at_least)):
            print(json.dumps(states))
            return
        time.sleep(0.1)
    sys.exit(f"not there after {seconds} s: {dict(states)}")


def result(*also: str) -> None:
    run = Season.objects.get().official_run
    assert not audit(run).sentences
    if "storage" in also:
        found = audit_storage(older_than_s=0, checksums=True)
        assert not found.sentences, found.sentences
    candidates = Candidate.objects.order_by("arrival").values_list(
        "arrival", "state", "reason", "formula", "content_hash", "twin_of__arrival", "detail__file"
    )
    placements = Placement.objects.filter(run=run).order_by("candidate__arrival")
    figures = ("energy_per_atom", "formation_energy_per_atom", "e_above_hull_on_arrival", "decomposition_energy")
    log = LogEntry.objects.filter(run=run).order_by("position")
    scores = ScoreEntry.objects.filter(run=run).order_by("number")
    phases = Phase.objects.filter(run=run).order_by("number")
    points = HullPoint.objects.filter(run=run).order_by("formula")
    print(
        json.dumps(
            {
                "candidates": list(candidates),
                "placements": list(
                    placements.values_list("candidate__arrival", "verdict", "reason", "phase__number", *figures)
                ),
                "phases": list(
                    phases.values_list("number", "status", "formula", "energy_per_atom", "candidate__arrival")
                ),
                "log": list(log.values_list("position", "kind", "phase__number", "by__number", "candidate__arrival")),
                "scores": list(scores.values_list("number", "points", "reason", "phase__number", "candidate__arrival")),
                "hull": list(points.values_list("formula", "hull_energy", "lowest_energy", "is_vertex")),
                "relaxations": RelaxationFact.objects.count(),
            }
        )
    )


def obey() -> None:
    for line in sys.stdin:
        close_old_connections()  # the database may have been away
        with contextlib.redirect_stdout(io.StringIO()) as told:
            do(*json.loads(line))
        print(json.dumps(told.getvalue()), flush=True)


DEEDS = {"prepare": prepare, "submit": submit, "key": key, "alone": alone, "obey": obey, "wait": wait, "result": result}


def do(deed: str, *arguments: str) -> None:
    DEEDS[deed](*arguments)


if __name__ == "__main__":
    do(*sys.argv[1:])
