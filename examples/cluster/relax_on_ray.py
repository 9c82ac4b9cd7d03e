"""Relax a folder of shards on a Ray cluster, or on the cores of one machine. From the checkout:

    PYTHONPATH=. python examples/cluster/relax_on_ray.py SHARDS RELAXED --workers 40

Ray Data deals the shards out; each worker keeps the judge loaded and writes its results itself, to a folder that all
machines see. Run again, it goes on with what is missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import ray

from validation.shard_files import Order
from validation.shards import CheckedJudge, judge_for, relax_shard

ROOT = Path(__file__).resolve().parents[2]


class Relaxer:
    """One process of Ray, with a judge of its own."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._judges: dict[str, CheckedJudge] = {}

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        progress = relax_shard(Path(row["shard"]), Path(row["relaxed"]), self._judge)
        return {**row, "structures": progress.done, "failed": progress.failed}

    def _judge(self, order: Order) -> CheckedJudge:
        if order.scale_digest not in self._judges:
            self._judges[order.scale_digest] = judge_for(order, model=self._model, threads=1)
        return self._judges[order.scale_digest]


def main() -> None:
    parser = argparse.ArgumentParser(description="Relax shards with Ray Data.")
    parser.add_argument("shards", type=Path, help="folder of what export_shards wrote")
    parser.add_argument("relaxed", type=Path, help="folder for the results, seen by all machines")
    parser.add_argument("--workers", type=int, default=1, help="processes, one a GPU or a core (default: 1)")
    parser.add_argument("--gpus", type=float, default=0, help="of each process (default: 0)")
    parser.add_argument("--model", default="", help="folder of the judge's weights there (default: the shards')")
    options = parser.parse_args()
    options.relaxed.mkdir(parents=True, exist_ok=True)
    pairs = [
        {"shard": str(path.resolve()), "relaxed": str(options.relaxed.resolve() / path.name)}
        for path in sorted(options.shards.glob("*.parquet"))
    ]
    ray.init(runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}})
    done = ray.data.from_items(pairs, override_num_blocks=len(pairs)).map(  # a block a shard, so that all are busy
        Relaxer, fn_constructor_kwargs={"model": options.model}, concurrency=options.workers, num_gpus=options.gpus
    )
    for row in done.iter_rows():
        print(f"{row['relaxed']}: {row['structures']} structures, {row['failed']} without a relaxation", flush=True)


if __name__ == "__main__":
    main()
