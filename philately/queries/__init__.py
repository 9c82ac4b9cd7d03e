"""Reading: what pages, API and commands show. Nothing here writes; each function says what it costs in queries."""

from philately.queries.batches import (
    Account,
    BatchLine,
    Progress,
    Tallies,
    account_of,
    batches_of,
    n_standing,
    progress_of,
    tallies_of,
    visible_batch,
    visible_candidate,
)
from philately.queries.dry_runs import DryRow, DryTable, dry_rows, dry_run_of, dry_runs_of, dry_table
from philately.queries.dumps import latest_dump
from philately.queries.efforts import usual_of
from philately.queries.estimates import Estimate, estimate_of, estimate_of_dry_run
from philately.queries.opinions import OpinionRow, auditor_rows, opinions_on
from philately.queries.positions import e_above_hull_now, provisional_positions, with_distance
from philately.queries.seasons import Queue, SeasonRow, View, queue_of, seasons_with_counts, view_of
from philately.queries.stable import StablePage, StablePhase, newest_finds, stable_counts, stable_page
from philately.queries.standings import Leaderboard, Standing, leaderboard
from philately.queries.table import BatchRow, Part, Table, all_rows, row_of, table_of

__all__ = [
    "Account",
    "BatchLine",
    "BatchRow",
    "DryRow",
    "DryTable",
    "Estimate",
    "Leaderboard",
    "OpinionRow",
    "Part",
    "Progress",
    "Queue",
    "SeasonRow",
    "StablePage",
    "StablePhase",
    "Standing",
    "Table",
    "Tallies",
    "View",
    "account_of",
    "all_rows",
    "auditor_rows",
    "batches_of",
    "dry_rows",
    "dry_run_of",
    "dry_runs_of",
    "dry_table",
    "e_above_hull_now",
    "estimate_of",
    "estimate_of_dry_run",
    "latest_dump",
    "leaderboard",
    "n_standing",
    "newest_finds",
    "opinions_on",
    "progress_of",
    "provisional_positions",
    "queue_of",
    "row_of",
    "seasons_with_counts",
    "stable_counts",
    "stable_page",
    "table_of",
    "tallies_of",
    "usual_of",
    "view_of",
    "visible_batch",
    "visible_candidate",
    "with_distance",
]
