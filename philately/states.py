"""Every state, every edge between them, and nothing else. ``domain/transitions.py`` alone walks along them."""

from django.db.models import TextChoices


class CandidateState(TextChoices):
    RECEIVED = "received", "received"  # its text lies in a shard
    CHECKED = "checked", "checked"  # read and within the rules; waits until its turn to look for twins
    PARSED = "parsed", "waiting for relaxation"
    RELAXING = "relaxing", "relaxing"
    RELAXED = "relaxed", "waiting for its turn"
    PLACED = "placed", "placed"
    REJECTED = "rejected", "rejected"  # the submitter's; final but for an organiser who has it judged again
    PARKED = "parked", "twin"  # the same initial structure as an earlier one, whose fate it shares
    FAILED = "failed", "failed, will be tried again"  # ours
    SET_ASIDE = "set_aside", "set aside"  # ours, after three attempts; an organiser decides
    WITHDRAWN = "withdrawn", "withdrawn"  # its owner's


S = CandidateState

CANDIDATE_EDGES: frozenset[tuple[CandidateState, CandidateState]] = frozenset(
    {
        # phase 1
        (S.RECEIVED, S.CHECKED),
        (S.RECEIVED, S.REJECTED),
        (S.RECEIVED, S.FAILED),
        (S.RECEIVED, S.SET_ASIDE),
        (S.CHECKED, S.PARSED),
        (S.CHECKED, S.PARKED),
        (S.CHECKED, S.FAILED),
        # phase 2
        (S.PARSED, S.RELAXING),
        (S.RELAXING, S.RELAXED),
        (S.RELAXING, S.REJECTED),
        (S.RELAXING, S.FAILED),
        (S.RELAXING, S.PARSED),  # given back by a worker that was told to stop
        # phase 3
        (S.RELAXED, S.PLACED),
        (S.RELAXED, S.FAILED),
        # ours again: retried from where it failed, or set aside
        (S.FAILED, S.RECEIVED),
        (S.FAILED, S.CHECKED),
        (S.FAILED, S.PARSED),
        (S.FAILED, S.RELAXED),
        (S.FAILED, S.SET_ASIDE),
        # it held up the others for too long
        (S.CHECKED, S.SET_ASIDE),
        (S.PARSED, S.SET_ASIDE),
        (S.SET_ASIDE, S.RECEIVED),
        (S.SET_ASIDE, S.PARSED),
        # a parked twin is promoted when its original falls away
        (S.PARKED, S.PARSED),
        # an organiser's: judged again, under a new arrival number
        (S.REJECTED, S.RECEIVED),
        # the owner's
        *((state, S.WITHDRAWN) for state in S if state not in (S.WITHDRAWN, S.RELAXING)),
    }
)

# The sequencer passes over these: nothing more will come of them in this run.
SETTLED = frozenset({S.PLACED, S.REJECTED, S.PARKED, S.SET_ASIDE, S.WITHDRAWN})
# Nothing more will come of them at all, unless somebody decides so.
FINAL = SETTLED


class BatchState(TextChoices):
    UPLOADED = "uploaded", "waiting to be read"
    READ = "read", "read"  # every structure of it is a candidate
    REFUSED = "refused", "refused"  # the submitter's: the archive breaks a limit
    SET_ASIDE = "set_aside", "set aside"  # ours, after three attempts


class DryRunState(TextChoices):
    WAITING = "waiting", "waiting to be read"  # or being read, while somebody holds its lease
    DONE = "done", "done"
    REFUSED = "refused", "refused"  # the submitter's: the archive breaks a limit
    SET_ASIDE = "set_aside", "set aside"  # ours, after three attempts


class OpinionState(TextChoices):
    """Of what an auditor is asked. WAITING and RELAXING may alternate; the others are final."""

    WAITING = "waiting", "waiting"  # also after an attempt that failed
    RELAXING = "relaxing", "relaxing"
    GIVEN = "given", "given"
    SET_ASIDE = "set_aside", "set aside"  # ours, after three attempts; the find is held


class ShardState(TextChoices):
    WAITING = "waiting", "waiting"
    PARSED = "parsed", "parsed"
    SET_ASIDE = "set_aside", "set aside"


class Stage(TextChoices):
    """The three phases, of which the first has two steps: where a failed candidate is tried again."""

    PARSE = "parse", "parse"
    SETTLE = "settle", "look for twins"
    RELAX = "relax", "relax"
    PLACE = "place", "place"


class Role(TextChoices):
    PARTICIPANT = "participant", "participant"
    ORGANISER = "organiser", "organiser"


class Visibility(TextChoices):
    OPEN = "open", "open at placement"
    BLIND = "blind", "blind until close"


class PhaseStatus(TextChoices):
    ON_RECORD = "on_record", "on record"  # takes part in the hull
    HELD = "held", "held"  # waits for an organiser, outside the hull
    REFUSED = "refused", "refused by an organiser"  # outside the hull for good
    UNDEFINED = "undefined", "distance undefined"  # the release lacks one of its elements
    WITHDRAWN = "withdrawn", "withdrawn"  # nobody stands for it any longer


class LogKind(TextChoices):
    STABLE = "stable", "came onto the hull"
    DETHRONED = "dethroned", "left the hull"
    RESTORED = "restored", "came back onto the hull"
    REFINED = "refined", "energy lowered by a duplicate"
    ACCEPTED = "accepted", "came onto the record, an organiser accepted it"
    WITHDRAWN = "withdrawn", "left the record, withdrawn"
    REPLACED = "replaced", "has another representative, the last one was withdrawn"
    INHERITED = "inherited", "has another finder, the first one was withdrawn"
