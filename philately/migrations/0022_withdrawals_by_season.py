"""Wishes that wait are found by season, without a look at its candidates."""

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import OuterRef, Q, Subquery


def name_seasons(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """As their candidates have it."""
    season = apps.get_model("philately", "Candidate").objects.filter(pk=OuterRef("candidate")).values("season")
    apps.get_model("philately", "Withdrawal").objects.update(season=Subquery(season))


def _season(*, null: bool) -> models.ForeignKey:
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        null=null,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to="philately.season",
    )


class Migration(migrations.Migration):
    dependencies = [("philately", "0021_dumps_that_rest")]

    operations = [
        migrations.AddField(model_name="withdrawal", name="season", field=_season(null=True)),
        migrations.RunPython(name_seasons, migrations.RunPython.noop),
        migrations.AlterField(model_name="withdrawal", name="season", field=_season(null=False)),
        migrations.RemoveIndex(model_name="withdrawal", name="withdrawal_open"),
        migrations.AddIndex(
            model_name="withdrawal",
            index=models.Index(fields=["season", "id"], name="withdrawal_waits", condition=Q(done_at__isnull=True)),
        ),
    ]
