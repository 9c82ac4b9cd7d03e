"""``python -m validation relax-shard IN.parquet OUT.parquet``: a share of a season's relaxations, elsewhere."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from validation.potentials import judge_names

if TYPE_CHECKING:
    from validation.shards import Progress

_LIMIT_S, _SAVE_EVERY_S = 900.0, 30.0
_GRACE_S = 30.0  # a step of what heeds its limit has ended by then
_LOG_EVERY_S = 30.0  # where no terminal shows the bar
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_EPILOG = """\
IN.parquet comes from `manage.py export_shards`, OUT.parquet goes to `manage.py import_shards`. No database, broker or
network is needed, only the judge's weights.

The judge shows first that it is right: it relaxes a few crystals with known results, and it must be the one on whose
scale the shard was ordered. What is finished is written to the folder OUT.parquet.parts now and then; OUT.parquet
appears when all is done. However the process ends, the same command goes on with what is missing. A structure that two
processes had in hand when they died or hung goes alone; one that three had, or that exceeds --limit-s, has an error in
its row and is not lost: the season relaxes itself what no shard brings back.

--limit-s is heeded between two steps. A step that hangs in compiled code is beyond that, so after --step-limit-s the
process writes "Timeout" and where it is to standard error and ends by SIGALRM.

One process uses one GPU, or one core with --threads 1; on many, start as many with a shard each (CUDA_VISIBLE_DEVICES
picks the GPU; OMP_NUM_THREADS=1 keeps other libraries to the core).

exit status: 0 OUT.parquet is whole · 2 a file or the judge cannot be used, a sentence says why · 143 ended by SIGTERM,
130 by Ctrl-C, each after the step in hand and with everything finished written · 142 ended by SIGALRM in a step that
hung; start it again

examples:
  python -m validation relax-shard spring-0001.parquet relaxed-0001.parquet
  python -m validation relax-shard spring-0001.parquet relaxed-0001.parquet --model /weights/TensorNet --threads 1
"""


def add_to(commands: Any) -> None:
    """commands: what ``add_subparsers`` gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "relax-shard",
        help="relax structures that a season exported, without its database; resumable",
        description="Relax the structures of a shard by its judge and write what came of them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, metavar="IN.parquet", help="a shard, as export_shards writes it")
    add("target", type=Path, metavar="OUT.parquet", help="what came of it; its folder must exist")
    add("--judge", choices=judge_names(), help="the potential (default: the one that the shard names)")
    add("--model", default="", help="folder, hub name or description of its weights (default: the shard's)")
    add("--threads", type=_count, metavar="N", help="of torch (default: as many as it wants)")
    add("--limit-s", type=_seconds, default=_LIMIT_S, metavar="S", help="time for one structure (default: %(default)g)")
    step_limit = "time for one step of a batch, then the process ends; 0: never (default: 30 s more than --limit-s)"
    add("--step-limit-s", type=_seconds, metavar="S", help=step_limit)
    add("--save-every-s", type=_seconds, default=_SAVE_EVERY_S, metavar="S", help="pause between parts (default: 30)")
    add("--pairs-at-once", type=_count, metavar="N", help="neighbours in a batch (default: what suits the device)")
    add("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run, error=parser.error)


def run(options: argparse.Namespace) -> int:
    """The exit status; ends the process with 2 where nothing can be done."""
    # late: these import ASE's and pyarrow's share, which other commands do without
    from validation.canary import CanaryDied
    from validation.scales import WrongScale
    from validation.shard_files import BadShard
    from validation.shard_parts import Busy
    from validation.shards import Pace, UnusableJudge, judge_for, relax_shard

    started = time.monotonic()
    step_limit_s = options.limit_s + _GRACE_S if options.step_limit_s is None else options.step_limit_s
    pace = Pace(
        limit_s=options.limit_s,
        step_limit_s=step_limit_s or None,
        save_every_s=options.save_every_s,
        pairs_at_once=options.pairs_at_once,
    )
    with _stopped_by_signals() as stop, _Shown(options.quiet) as shown:
        try:
            progress = relax_shard(
                options.source,
                options.target,
                lambda order: judge_for(order, judge=options.judge or "", model=options.model, threads=options.threads),
                pace=pace,
                stop=lambda: bool(stop),
                on_progress=shown.show,
            )
        except (OSError, BadShard, Busy, UnusableJudge, CanaryDied, WrongScale) as error:
            options.error(str(error))
    print(_sentence(progress, options.target, time.monotonic() - started))
    return 0 if progress.done == progress.structures else 128 + stop[0]


def _sentence(progress: Progress, target: Path, seconds: float) -> str:
    count = f"{progress.done:,} of {progress.structures:,} structures"
    failed = f", {progress.failed:,} of them without a relaxation" if progress.failed else ""
    if progress.done < progress.structures:
        return f"stopped: {count} are written{failed}; the same command goes on"
    return f"{target}: {count}{failed}; {seconds:.1f} s"


@contextmanager
def _stopped_by_signals() -> Iterator[list[int]]:
    """A list that a signal's number is put into when it comes."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in _SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class _Shown:
    """A bar with the time left, by atoms; where nobody looks a line now and then."""

    quiet: bool
    bar: Any = field(default=None)

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *raised: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, progress: Progress) -> None:
        if self.bar is None:
            pause = 0.2 if sys.stderr.isatty() else _LOG_EVERY_S
            self.bar = tqdm(
                total=progress.atoms,
                initial=progress.atoms_done,
                unit=" atoms",
                disable=self.quiet,
                mininterval=pause,
                maxinterval=max(pause, 10.0),
            )
        self.bar.set_postfix_str(f"{progress.done}/{progress.structures} structures", refresh=False)
        self.bar.update(progress.atoms_done - self.bar.n)


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds
