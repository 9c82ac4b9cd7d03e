"""Run as a process of its own on a restored installation, by test_restoring.py: it is audited, and work goes on."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "philately.settings")

import django

django.setup()

from driving import run_all, submit  # noqa: E402

from philately.domain import tidying  # noqa: E402
from philately.domain.audits import audit  # noqa: E402
from philately.domain.dumps import refresh  # noqa: E402
from philately.models import Batch, Membership, Season  # noqa: E402
from philately.queries.dumps import latest_dump  # noqa: E402


def verdicts(season: Season) -> list[list[object]]:
    rows = season.candidates.order_by("arrival").values_list(
        "detail__file", "state", "formula", "placements__verdict", "placements__e_above_hull_on_arrival"
    )
    return [list(row) for row in rows]


def main(texts: dict[str, str], others: dict[str, str]) -> dict[str, object]:
    """texts: what was submitted after the backup, and is again; others: what is submitted under a number that the
    backup does not know, and the files do."""
    season = Season.objects.select_related("official_run").get()
    told: dict[str, object] = {"found": audit(season.official_run).sentences, "before": verdicts(season)}
    tidying.tidy()
    told["offered"] = latest_dump(season) is not None
    member = Membership.objects.get(user__username="ann")
    told["other"] = submit(member, others).pk
    told["again"] = submit(member, texts).pk
    run_all(season)
    season.refresh_from_db()
    told["found_after"] = audit(season.official_run).sentences
    told["after"] = verdicts(season)
    told["states"] = list(Batch.objects.order_by("pk").values_list("state", flat=True))
    told["made"] = refresh(season.pk)
    return told


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.stdin.read()))))
