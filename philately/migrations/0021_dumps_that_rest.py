"""How long a dump took, after which the next one rests."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("philately", "0020_vertices_by_system")]

    operations = [
        migrations.AddField(
            model_name="dump",
            name="took_s",
            field=models.FloatField(default=0.0, help_text="to write it, while the sequencer waited"),
        ),
    ]
