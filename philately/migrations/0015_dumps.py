import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('philately', '0014_auditors'),
    ]

    operations = [
        migrations.CreateModel(
            name='Dump',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stored_in', models.CharField(help_text='folder in the storage', max_length=255, unique=True)),
                ('manifest', models.JSONField(help_text='as the file says')),
                ('files', models.JSONField(default=dict, help_text='bytes by name, manifest and checksums included')),
                ('begun_at', models.DateTimeField(auto_now_add=True)),
                ('whole_at', models.DateTimeField(help_text='none while its files are being stored', null=True)),
                ('season', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='dumps', to='philately.season')),
            ],
        ),
    ]
