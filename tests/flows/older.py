"""A database as older code left it: ``python tests/flows/older.py MIGRATION …``, its environment says which.

Migrates to each of them, one after the other, by the migrations that a squashed one replaces since.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "philately.settings")

import django

django.setup()

from django.db import connection  # noqa: E402 - needs the set-up above
from django.db.migrations.executor import MigrationExecutor  # noqa: E402


def migrate_to(name: str) -> None:
    executor = MigrationExecutor(connection)
    executor.loader.replace_migrations = False
    executor.loader.build_graph()
    others = [node for node in executor.loader.graph.leaf_nodes() if node[0] not in ("philately", "admin")]
    executor.migrate([("philately", name), *others])


if __name__ == "__main__":
    for one in sys.argv[1:]:
        migrate_to(one)
