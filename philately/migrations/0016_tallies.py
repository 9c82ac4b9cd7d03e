# What all processes did, when locks were taken, and an index for the few finds that are held

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('philately', '0015_dumps'),
    ]

    operations = [
        migrations.CreateModel(
            name='Tally',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40)),
                ('label', models.CharField(blank=True, help_text="the kind, such as a task's name", max_length=100)),
                ('count', models.PositiveBigIntegerField(default=0)),
                ('changed_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'verbose_name_plural': 'tallies',
                'constraints': [models.UniqueConstraint(fields=('name', 'label'), name='tally_once')],
            },
        ),
        migrations.AddField(
            model_name='lock',
            name='taken_at',
            field=models.DateTimeField(help_text='when its holder, or the last one, took it', null=True),
        ),
        migrations.AddIndex(
            model_name='phase',
            index=models.Index(condition=models.Q(('status', 'held')), fields=['run'], name='phase_held'),
        ),
    ]
