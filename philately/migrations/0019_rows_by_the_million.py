"""Indexes for pages of large batches; on PostgreSQL room for updates in place, and a vacuum that comes in time."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

ROOM = {"philately_candidate": 80, "philately_hullpoint": 80, "philately_opinion": 80, "philately_phase": 95}  # fillfactor, %
VACUUM = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02"
APPENDED = f"{VACUUM}, autovacuum_vacuum_insert_scale_factor = 0.05"
LARGE = (
    *("candidate", "candidatedetail", "relaxationfact", "relaxationgeometry", "initialfingerprint"),
    *("relaxedfingerprint", "fit", "opinion", "phase", "placement", "hullpoint", "logentry", "scoreentry"),
)


def set_storage(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor != "postgresql":
        return
    for name in LARGE:
        editor.execute(f"ALTER TABLE philately_{name} SET ({APPENDED})")
    for table, percent in ROOM.items():
        editor.execute(f"ALTER TABLE {table} SET (fillfactor = {percent})")


def reset_storage(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor != "postgresql":
        return
    names = [setting.partition(" = ")[0] for setting in APPENDED.split(", ")]
    for name in LARGE:
        editor.execute(f"ALTER TABLE philately_{name} RESET ({', '.join(names)})")
    for table in ROOM:
        editor.execute(f"ALTER TABLE {table} RESET (fillfactor)")


class Migration(migrations.Migration):
    dependencies = [("philately", "0018_time_limits_and_fair_share")]

    operations = [
        migrations.AddIndex(
            model_name="candidate",
            index=models.Index(fields=["batch", "state", "arrival"], name="candidate_batch_queue"),
        ),
        migrations.RemoveIndex(model_name="candidate", name="candidate_batch_state"),
        migrations.RunPython(set_storage, reset_storage),
    ]
