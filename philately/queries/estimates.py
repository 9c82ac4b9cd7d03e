"""How long relaxations will take, about: of a batch under way, and of a dry run if it were submitted."""

from dataclasses import dataclass
from functools import partial

from django.db.models import Count, Max, Q, Sum

from philately.models import Batch, Candidate, DryRun
from philately.queries.batches import Progress
from philately.queries.efforts import IN_LINE, TO_RELAX, usual_of, workers_on
from philately.queries.remembered import remembered
from philately.states import BatchState, DryRunState
from validation.effort import Waiting


@dataclass(frozen=True, slots=True)
class Estimate:
    """What relaxing these structures takes. seconds: by the clock, None where there is nothing to go by yet.

    n_ahead: others' structures that come before the last of them, and that the seconds count in.
    """

    n_structures: int
    n_ahead: int
    atom_steps: int
    seconds: float | None


def estimate_of(batch: Batch, progress: Progress) -> Estimate | None:
    """Four queries at most. None where nothing of the batch is to be relaxed, where it is not read through, and where
    relaxation is paused.

    Relax workers go by arrival, so whatever on the scale arrived before the batch's last one comes first. Others'
    structures are taken to be as large as the latest that were relaxed: they are only counted, in an index.
    """
    if batch.state != BatchState.READ or progress.is_finished or batch.season.scale.problem:
        return None
    return remembered(f"estimate:{batch.pk}", partial(_estimate, batch)).figure


def _estimate(batch: Batch) -> Estimate | None:
    in_line = Q(state__in=IN_LINE)
    own = batch.candidates.filter(TO_RELAX).aggregate(
        n=Count("pk"),
        atoms=Sum("n_atoms", default=0),
        unread=Count("pk", filter=Q(n_atoms=None)),
        in_line=Count("pk", filter=in_line),
        last=Max("arrival", filter=in_line, default=0),
    )
    if not own["n"]:
        return None
    scale_id = batch.season.scale_id
    before = Candidate.objects.filter(in_line, season__scale=scale_id, arrival__lte=own["last"]).count()
    n_ahead = before - own["in_line"]
    usual = usual_of(scale_id)
    atom_steps = usual.atom_steps(Waiting(n_structures=own["n"], n_atoms=own["atoms"], n_unread=own["unread"]))
    all_atom_steps = atom_steps + usual.atom_steps(Waiting(n_structures=n_ahead, n_unread=n_ahead))
    seconds = usual.seconds_for(all_atom_steps, n_workers=workers_on(scale_id))
    return Estimate(own["n"], n_ahead, atom_steps, seconds)


def estimate_of_dry_run(run: DryRun) -> Estimate | None:
    """Of what passed, at the pace of now and with nothing ahead; two queries. None where nothing passed, or it is not
    known how large it is."""
    n_passed = run.counts.get("", 0)
    if run.state != DryRunState.DONE or not n_passed or run.n_atoms is None:
        return None
    scale_id = run.owner.season.scale_id
    usual = usual_of(scale_id)
    atom_steps = usual.atom_steps(Waiting(n_structures=n_passed, n_atoms=run.n_atoms))
    return Estimate(n_passed, 0, atom_steps, usual.seconds_for(atom_steps, n_workers=workers_on(scale_id)))
