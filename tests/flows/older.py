"""A database as older code left it: ``python tests/flows/older.py MIGRATION …``, its environment says which.

Migrates to each of them, one after the other, by the migrations that a squashed one replaces since. At some there are
rows, too.
"""

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "philately.settings")

import django

django.setup()

from django.db import connection  # noqa: E402 - needs the set-up above
from django.db.migrations.executor import MigrationExecutor  # noqa: E402
from django.utils import timezone  # noqa: E402


def migrate_to(name: str) -> None:
    executor = MigrationExecutor(connection)
    executor.loader.replace_migrations = False
    executor.loader.build_graph()
    others = [node for node in executor.loader.graph.leaf_nodes() if node[0] not in ("philately", "admin")]
    executor.migrate([("philately", name), *others])


def withdraw(at: str) -> None:
    """Two seasons, in each a candidate that is withdrawn and one of which that is wished, as code of then had it."""
    apps = MigrationExecutor(connection).loader.project_state(("philately", at)).apps

    def add(name: str, /, **values: object) -> Any:
        return apps.get_model("philately", name).objects.create(**values)

    now = timezone.now()
    scale = add("Scale", digest="0" * 64, name="emt", judge="emt", identity={})
    ada = add("User", username="ada", password="!")
    for slug in ("first", "second"):
        season = add("Season", slug=slug, name=slug, scale=scale, rules={}, data_licence="CC0", opens_at=now)
        owner = add("Membership", season=season, user=ada)
        told = {"sha256": "0" * 64, "file_name": "a.cif", "n_bytes": 1, "method": "other", "licence": "CC0"}
        batch = add("Batch", season=season, owner=owner, submitted_at=now, **told)
        shard = add("Shard", batch=batch, number=1, stored_as="a", sha256="0" * 64)
        for arrival, done_at in ((1, now), (2, None)):
            mine = {"season": season, "batch": batch, "shard": shard, "arrival": arrival, "is_rerun": False}
            add("Withdrawal", candidate=add("Candidate", **mine), by=ada, done_at=done_at)


if __name__ == "__main__":
    for one in sys.argv[1:]:
        migrate_to(one)
        if one == "0021_dumps_that_rest":
            withdraw(one)
