"""The one door for a candidate's state: every change is conditional on the state that it leaves."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import InterfaceError, InternalError, OperationalError
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from philately.domain import bulk
from philately.domain.files import storable
from philately.models import Candidate, CandidateDetail
from philately.states import CANDIDATE_EDGES, CandidateState, Stage

# What statements raise once the session with the database is gone: it was ended, or the server was. InternalError is
# that of a transaction which fell silent for too long. No structure can be blamed for any of them.
SESSION_LOST = (OperationalError, InterfaceError, InternalError)


class IllegalMove(Exception):
    """An edge that the state machine does not have: a mistake in our code."""


class WorkerDied(Exception):
    """A worker that had one candidate alone in hand stopped without a word, again and again."""


def move(candidates: QuerySet[Candidate], source: CandidateState, target: CandidateState, **fields: Any) -> int:
    """Move those of ``candidates`` that are in ``source``; says how many were. Also lets go of any lease."""
    if (source, target) not in CANDIDATE_EDGES:
        raise IllegalMove(f"{source} → {target}")
    changes: dict[str, Any] = {"lease": None, "lease_until": None, **fields}
    return candidates.filter(state=source).update(state=target, changed_at=Now(), **changes)


def lease_end(seconds: float | None = None) -> Any:
    """The end of a lease of so many seconds, else LEASE_S, taken now by the database's clock."""
    return Now() + timedelta(seconds=settings.LEASE_S if seconds is None else seconds)


def new_token() -> str:
    return uuid4().hex


def claim(ids: list[int], source: CandidateState, target: CandidateState, *, token: str = "", **fields: Any) -> str:
    """Take those of the candidates that are still in ``source``; they carry the token that comes back, a new one unless
    it is given."""
    token = token or new_token()
    move(Candidate.objects.filter(pk__in=ids), source, target, lease=token, lease_until=lease_end(), **fields)
    return token


def renew(token: str) -> int:
    """Prolong a claim; says how many candidates it still holds."""
    return Candidate.objects.filter(lease=token).update(lease_until=lease_end())


def say(candidate_id: int, sentence: str) -> None:
    """Write down why a candidate is where it is."""
    CandidateDetail.objects.filter(pk=candidate_id).update(sentence=_cut(sentence))


def say_all(sentences: Iterable[tuple[int, str]]) -> None:
    """The same of many, by primary key."""
    bulk.update(CandidateDetail, ("sentence",), [(_cut(sentence), key) for key, sentence in sentences])


def _cut(sentence: str) -> str:
    """As the column holds it."""
    return storable(sentence)[:2000]


def fail(candidate: Candidate, stage: Stage, error: Exception, *, token: str | None = None) -> bool:
    """Record a fault of ours; says whether the candidate was still in the hands of ``token``."""
    mine = Candidate.objects.filter(pk=candidate.pk)
    if token is not None:
        mine = mine.filter(lease=token)
    changes = {"failed_in": stage, "attempts": candidate.attempts}
    if move(mine, CandidateState(candidate.state), CandidateState.FAILED, **changes) != 1:
        return False
    say(candidate.pk, f"attempt {candidate.attempts} failed: {type(error).__name__}: {error}")
    return True


def ids(candidate: Candidate) -> dict[str, int]:
    """What a record in the log about it carries."""
    return {"candidate": candidate.pk, "batch": candidate.batch_id, "season": candidate.season_id}


def expired() -> Q:
    """Leases that ran out, by the database's clock."""
    return Q(lease_until__lt=Now())
