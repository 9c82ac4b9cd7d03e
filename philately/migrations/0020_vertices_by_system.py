"""Vertices of the hull are found by chemical system, without a look at the phases there."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce


def name_systems(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """As phases of the same formula have it; where there is none, which an audit tells, it stays empty."""
    phases = apps.get_model("philately", "Phase").objects.filter(run=OuterRef("run"), formula=OuterRef("formula"))
    system = Subquery(phases.order_by().values("chemical_system")[:1])
    apps.get_model("philately", "HullPoint").objects.update(chemical_system=Coalesce(system, Value("")))


class Migration(migrations.Migration):
    dependencies = [("philately", "0019_rows_by_the_million")]

    operations = [
        migrations.AddField(
            model_name="hullpoint",
            name="chemical_system",
            field=models.CharField(max_length=50, default=""),
            preserve_default=False,
        ),
        migrations.RunPython(name_systems, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="hullpoint",
            index=models.Index(fields=["run", "chemical_system"], name="hull_vertex_system", condition=Q(is_vertex=True)),
        ),
    ]
