import django.contrib.auth.models
import django.contrib.auth.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
from django.conf import settings
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

    replaces = [('philately', '0001_initial'), ('philately', '0002_hull_audit'), ('philately', '0003_placing_in_bulk'), ('philately', '0004_evaluations'), ('philately', '0005_fewer_indexes'), ('philately', '0006_withdrawals'), ('philately', '0007_formats'), ('philately', '0008_fingerprints'), ('philately', '0009_uploads'), ('philately', '0010_symmetry'), ('philately', '0011_relaxation_results'), ('philately', '0012_accepted_judges'), ('philately', '0013_atom_steps'), ('philately', '0014_auditors'), ('philately', '0015_dumps'), ('philately', '0016_tallies'), ('philately', '0017_organising'), ('philately', '0018_time_limits_and_fair_share'), ('philately', '0019_rows_by_the_million')]

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='Lock',
            fields=[
                ('name', models.CharField(max_length=100, primary_key=True, serialize=False)),
                ('token', models.CharField(blank=True, max_length=32)),
                ('until', models.DateTimeField(null=True)),
                ('taken_at', models.DateTimeField(help_text='when its holder, or the last one, took it', null=True)),
                ('deaths', models.PositiveSmallIntegerField(default=0, help_text='holders in a row that fell silent')),
            ],
        ),
        migrations.CreateModel(
            name='Scale',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(help_text='SHA-256 of the identity below', max_length=64, unique=True)),
                ('name', models.CharField(max_length=100)),
                ('judge', models.CharField(max_length=50)),
                ('model', models.CharField(blank=True, help_text='folder or hub name, where the judge has several', max_length=500)),
                ('identity', models.JSONField(help_text="judge, architecture, weights' SHA-256, dtype, relaxation settings")),
                ('problem', models.TextField(blank=True, help_text='why the judge was refused when a worker loaded it last')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='User',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('username', models.CharField(error_messages={'unique': 'A user with that username already exists.'}, help_text='Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.', max_length=150, unique=True, validators=[django.contrib.auth.validators.UnicodeUsernameValidator()], verbose_name='username')),
                ('first_name', models.CharField(blank=True, max_length=150, verbose_name='first name')),
                ('last_name', models.CharField(blank=True, max_length=150, verbose_name='last name')),
                ('email', models.EmailField(blank=True, max_length=254, verbose_name='email address')),
                ('is_staff', models.BooleanField(default=False, help_text='Designates whether the user can log into this admin site.', verbose_name='staff status')),
                ('is_active', models.BooleanField(default=True, help_text='Designates whether this user should be treated as active. Unselect this instead of deleting accounts.', verbose_name='active')),
                ('date_joined', models.DateTimeField(default=django.utils.timezone.now, verbose_name='date joined')),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'verbose_name': 'user',
                'verbose_name_plural': 'users',
                'abstract': False,
            },
            managers=[
                ('objects', django.contrib.auth.models.UserManager()),
            ],
        ),
        migrations.CreateModel(
            name='Fit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('policy', models.CharField(help_text='digest of matcher and tolerances', max_length=16)),
                ('lower', models.BigIntegerField(help_text='the lower number of the two')),
                ('higher', models.BigIntegerField()),
                ('matches', models.BooleanField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('higher', 'lower', 'policy'), name='fit_once_a_policy')],
            },
        ),
        migrations.CreateModel(
            name='AcceptedJudge',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(help_text='SHA-256 of the identity below', max_length=64, unique=True)),
                ('name', models.CharField(max_length=50)),
                ('model', models.TextField(blank=True, help_text='folder, hub name or description that it was loaded by')),
                ('identity', models.JSONField(help_text="judge, architecture, weights' SHA-256, dtype")),
                ('canary', models.JSONField(help_text='by crystal: lattice parameter in Å, energy in eV/atom')),
                ('device', models.CharField(max_length=50)),
                ('versions', models.JSONField(help_text='of packages, when it was accepted')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
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
        migrations.CreateModel(
            name='Bell',
            fields=[
                ('name', models.CharField(help_text='task and key', max_length=100, primary_key=True, serialize=False)),
                ('mark', models.CharField(help_text='where the work stands; it changes when somebody does some of it', max_length=200)),
                ('since', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='when it was first rung for as it stands')),
                ('rung', models.PositiveIntegerField(default=1)),
                ('told_at', models.DateTimeField(help_text='when the log said last that nobody answers', null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Release',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('coverage', models.CharField(choices=[('elements', 'elements'), ('prototypes', 'prototypes'), ('full', 'full')], max_length=16)),
                ('sha256', models.CharField(max_length=64, unique=True)),
                ('n_phases', models.PositiveIntegerField()),
                ('elements', models.JSONField(help_text='symbols of the elements with a reference')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('scale', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='releases', to='philately.scale')),
            ],
        ),
        migrations.CreateModel(
            name='Season',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.SlugField(unique=True)),
                ('name', models.CharField(max_length=100)),
                ('description', models.TextField(blank=True)),
                ('rules', models.JSONField()),
                ('visibility', models.CharField(choices=[('open', 'open at placement'), ('blind', 'blind until close')], default='open', max_length=8)),
                ('data_licence', models.CharField(max_length=100)),
                ('opens_at', models.DateTimeField()),
                ('closes_at', models.DateTimeField(blank=True, null=True)),
                ('next_arrival', models.PositiveBigIntegerField(default=1)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('scale', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='seasons', to='philately.scale')),
                ('structures_a_day', models.PositiveBigIntegerField(blank=True, help_text='structures of a participant a day; empty: as everywhere', null=True)),
                ('structures_a_season', models.PositiveBigIntegerField(blank=True, help_text='structures of a participant in the season; empty: as everywhere', null=True)),
                ('upload_bytes', models.PositiveBigIntegerField(blank=True, help_text='bytes of one upload; empty: as everywhere', null=True)),
                ('upload_bytes_a_day', models.PositiveBigIntegerField(blank=True, help_text='bytes that a participant may upload a day; empty: as everywhere', null=True)),
                ('uploads_a_day', models.PositiveBigIntegerField(blank=True, help_text='uploads of a participant a day; empty: as everywhere', null=True)),
                ('uploads_unfinished', models.PositiveBigIntegerField(blank=True, help_text='unfinished uploads of a participant at a time; empty: as everywhere', null=True)),
                ('atom_steps_a_day', models.PositiveBigIntegerField(blank=True, help_text='atoms × steps of relaxation of a participant a day; empty: as everywhere', null=True)),
                ('atom_steps_a_season', models.PositiveBigIntegerField(blank=True, help_text='atoms × steps of relaxation of a participant in the season; empty: as everywhere', null=True)),
                ('frozen_at', models.DateTimeField(blank=True, help_text='from then on nothing of it changes', null=True)),
                ('round_days', models.PositiveSmallIntegerField(blank=True, help_text='a round closes by itself after so many days; empty: by command alone', null=True)),
                ('served', models.PositiveBigIntegerField(default=0, editable=False, help_text="where whoever was served last stood in fair_share's account")),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('visibility__in', ['open', 'blind'])), name='season_visibility_known')],
            },
        ),
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='where it is used', max_length=100)),
                ('prefix', models.CharField(help_text='the part by which it is found and recognised', max_length=16, unique=True)),
                ('digest', models.CharField(help_text='SHA-256 of its secret part', max_length=64)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('used_at', models.DateTimeField(help_text='last, to the minute', null=True)),
                ('revoked_at', models.DateTimeField(null=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='api_keys', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='ReleasePhase',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('formula', models.CharField(max_length=100)),
                ('energy_per_atom', models.FloatField(help_text='eV/atom')),
                ('n_sites', models.PositiveIntegerField()),
                ('geometry', models.BinaryField(help_text='a packed crystal')),
                ('label', models.CharField(blank=True, max_length=200)),
                ('note', models.CharField(blank=True, max_length=500)),
                ('release', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='phases', to='philately.release')),
                ('pearson_symbol', models.CharField(blank=True, max_length=16)),
                ('prototype_label', models.TextField(blank=True, help_text='with its elements: AB_cF8_225_a_b:Cl-Na')),
                ('space_group_number', models.PositiveSmallIntegerField(null=True)),
            ],
            options={
                'indexes': [models.Index(fields=['release', 'formula'], name='release_phase_formula')],
                'constraints': [models.UniqueConstraint(fields=('release', 'number'), name='release_phase_number_once')],
            },
        ),
        migrations.CreateModel(
            name='Membership',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(choices=[('participant', 'participant'), ('organiser', 'organiser')], default='participant', max_length=16)),
                ('joined_at', models.DateTimeField(auto_now_add=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='memberships', to=settings.AUTH_USER_MODEL)),
                ('season', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='memberships', to='philately.season')),
                ('own_limits', models.JSONField(blank=True, default=dict, help_text="quotas of this participant alone, by name; the season's hold otherwise")),
                ('served', models.PositiveBigIntegerField(default=0, editable=False, help_text="structures released to the season's queue, in fair_share's account")),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('season', 'user', 'role'), name='membership_once_a_role'), models.CheckConstraint(condition=models.Q(('role__in', ['participant', 'organiser'])), name='membership_role_known')],
            },
        ),
        migrations.CreateModel(
            name='Run',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('rules', models.JSONField()),
                ('rules_digest', models.CharField(max_length=64)),
                ('placed_to', models.PositiveBigIntegerField(default=0, help_text='arrival number up to which everything is placed')),
                ('log_position', models.PositiveBigIntegerField(default=0)),
                ('next_phase_number', models.PositiveBigIntegerField(default=1)),
                ('provenance', models.JSONField(default=dict, help_text='code and package versions that made it')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('release', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='philately.release')),
                ('scale', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='philately.scale')),
                ('season', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='philately.season')),
                ('reason', models.TextField(blank=True, help_text='why it was made')),
                ('discarded_at', models.DateTimeField(help_text='a preview; what is left of it is being deleted', null=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('season', 'number'), name='run_number_once')],
            },
        ),
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
        migrations.CreateModel(
            name='Round',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField(help_text='from 1; none while it is planned', null=True)),
                ('arrival', models.PositiveBigIntegerField(help_text='paid for what arrived with a lower number', null=True)),
                ('planned_for', models.DateTimeField(null=True)),
                ('closed_at', models.DateTimeField(null=True)),
                ('reason', models.TextField(blank=True)),
                ('made_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('by', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('season', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='rounds', to='philately.season')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('season', 'number'), name='round_number_once'), models.UniqueConstraint(fields=('season', 'arrival'), name='round_arrival_once'), models.UniqueConstraint(fields=('season', 'planned_for'), name='round_planned_once'), models.CheckConstraint(condition=models.Q(models.Q(('arrival', None), ('closed_at', None), ('number', None), ('planned_for__isnull', False)), models.Q(('arrival__isnull', False), ('closed_at__isnull', False), ('number__isnull', False)), _connector='OR'), name='round_planned_or_closed')],
            },
        ),
        migrations.CreateModel(
            name='Batch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('lease', models.CharField(editable=False, help_text='token of the worker that holds it', max_length=32, null=True)),
                ('lease_until', models.DateTimeField(editable=False, null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('sha256', models.CharField(max_length=64)),
                ('file_name', models.CharField(max_length=255)),
                ('n_bytes', models.PositiveBigIntegerField()),
                ('stored_as', models.CharField(blank=True, max_length=255)),
                ('method', models.CharField(max_length=100)),
                ('method_description', models.TextField(blank=True)),
                ('licence', models.CharField(help_text='the data licence that its owner consented to', max_length=100)),
                ('submitted_at', models.DateTimeField()),
                ('state', models.CharField(choices=[('uploaded', 'waiting to be read'), ('read', 'read'), ('refused', 'refused'), ('set_aside', 'set aside')], default='uploaded', max_length=16)),
                ('problem', models.TextField(blank=True, help_text='why it was refused or set aside')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='batches', to='philately.membership')),
                ('season', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='batches', to='philately.season')),
                ('n_found', models.PositiveIntegerField(default=0, help_text='structures found so far, while it is being read')),
                ('n_counted', models.PositiveBigIntegerField(help_text='structures, counted when it was read', null=True)),
                ('n_released', models.PositiveIntegerField(default=0, help_text='structures that are candidates so far')),
            ],
            options={
                'verbose_name_plural': 'batches',
                'indexes': [models.Index(fields=['season', 'state', 'id'], name='batch_queue'), models.Index(fields=['owner', 'submitted_at'], name='batch_owner_day')],
                'constraints': [models.UniqueConstraint(fields=('owner', 'sha256'), name='batch_once_a_member'), models.CheckConstraint(condition=models.Q(('state__in', ['uploaded', 'read', 'refused', 'set_aside'])), name='batch_state_known'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'refused'), _negated=True), models.Q(('problem', ''), _negated=True), _connector='OR'), name='batch_refusal_told')],
            },
        ),
        migrations.CreateModel(
            name='HullPoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('formula', models.CharField(max_length=100)),
                ('hull_energy', models.FloatField(help_text='eV/atom of all other compositions; none for an element', null=True)),
                ('lowest_energy', models.FloatField(help_text='eV/atom of the lowest phase here')),
                ('lowest_phase', models.PositiveBigIntegerField()),
                ('is_vertex', models.BooleanField()),
                ('log_position', models.PositiveBigIntegerField()),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='hull_points', to='philately.run')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('run', 'formula'), name='hull_point_once')],
            },
        ),
        migrations.CreateModel(
            name='HullAudit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('placed_to', models.PositiveBigIntegerField(help_text='of the run when its rows were read')),
                ('log_position', models.PositiveBigIntegerField(help_text='of the run when its rows were read')),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField()),
                ('n_phases', models.PositiveBigIntegerField(help_text='phases in the hull')),
                ('n_compositions', models.PositiveBigIntegerField()),
                ('n_events', models.PositiveBigIntegerField(help_text='entries of the hull log')),
                ('n_differences', models.PositiveBigIntegerField()),
                ('counts', models.JSONField(default=dict, help_text='differences by kind')),
                ('differences', models.JSONField(default=list, help_text='the first of each kind')),
                ('code_version', models.CharField(max_length=100)),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='hull_audits', to='philately.run')),
            ],
            options={
                'indexes': [models.Index(fields=['run', '-finished_at'], name='hull_audit_latest')],
            },
        ),
        migrations.CreateModel(
            name='RunAuditor',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('release', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='philately.release')),
                ('run', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='auditors', to='philately.run')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('run', 'release'), name='auditor_once_a_run')],
            },
        ),
        migrations.CreateModel(
            name='RelaxationFact',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('initial_hash', models.CharField(help_text='content hash of the initial structure', max_length=64)),
                ('formula', models.CharField(max_length=100)),
                ('n_sites', models.PositiveIntegerField()),
                ('stopped', models.CharField(choices=[('converged', 'converged'), ('max_steps', 'max_steps'), ('exploded', 'exploded')], max_length=16)),
                ('energy_per_atom', models.FloatField(help_text='eV/atom; none where the relaxation exploded', null=True)),
                ('fmax_ev_per_ang', models.FloatField(null=True)),
                ('smax_ev_per_ang3', models.FloatField(null=True)),
                ('steps', models.PositiveIntegerField()),
                ('seconds', models.FloatField()),
                ('space_group_number', models.PositiveSmallIntegerField(null=True)),
                ('note', models.TextField(blank=True)),
                ('provenance', models.JSONField(help_text="device, package versions and the canary's result")),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('scale', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='relaxations', to='philately.scale')),
                ('pearson_symbol', models.CharField(blank=True, max_length=16)),
                ('prototype_label', models.TextField(blank=True, help_text='with its elements: AB_cF8_225_a_b:Cl-Na')),
                ('rmsd_ang', models.FloatField(help_text='how far the atoms moved within the cell', null=True)),
                ('volume_change', models.FloatField(help_text='relative to the initial structure', null=True)),
                ('made_for', models.ForeignKey(db_index=False, help_text='the batch whose structure was relaxed, and whose owner it counts for', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='relaxations', to='philately.batch')),
            ],
            options={
                'indexes': [models.Index(fields=['made_for', 'n_sites', 'steps'], name='relaxation_cost'), models.Index(fields=['scale', 'created_at'], name='relaxation_latest')],
                'constraints': [models.UniqueConstraint(fields=('initial_hash', 'scale'), name='relaxation_once_a_scale')],
            },
        ),
        migrations.CreateModel(
            name='Shard',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('lease', models.CharField(editable=False, help_text='token of the worker that holds it', max_length=32, null=True)),
                ('lease_until', models.DateTimeField(editable=False, null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('number', models.PositiveIntegerField()),
                ('stored_as', models.CharField(max_length=255)),
                ('sha256', models.CharField(max_length=64)),
                ('state', models.CharField(choices=[('waiting', 'waiting'), ('parsed', 'parsed'), ('set_aside', 'set aside')], default='waiting', max_length=16)),
                ('problem', models.TextField(blank=True)),
                ('batch', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='shards', to='philately.batch')),
            ],
            options={
                'indexes': [models.Index(fields=['state', 'lease_until'], name='shard_queue')],
                'constraints': [models.UniqueConstraint(fields=('batch', 'number'), name='shard_number_once'), models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'parsed', 'set_aside'])), name='shard_state_known')],
            },
        ),
        migrations.CreateModel(
            name='DryRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('lease', models.CharField(editable=False, help_text='token of the worker that holds it', max_length=32, null=True)),
                ('lease_until', models.DateTimeField(editable=False, null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('sha256', models.CharField(max_length=64)),
                ('file_name', models.CharField(max_length=255)),
                ('n_bytes', models.PositiveBigIntegerField()),
                ('stored_as', models.CharField(max_length=255)),
                ('method', models.CharField(max_length=100)),
                ('method_description', models.TextField(blank=True)),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('state', models.CharField(choices=[('waiting', 'waiting to be read'), ('done', 'done'), ('refused', 'refused'), ('set_aside', 'set aside')], default='waiting', max_length=16)),
                ('problem', models.TextField(blank=True, help_text='why it was refused or set aside')),
                ('n_done', models.PositiveBigIntegerField(default=0)),
                ('n_total', models.PositiveBigIntegerField(help_text='none until the archive has been looked through', null=True)),
                ('counts', models.JSONField(default=dict, help_text='structures by reason; those that pass have none')),
                ('table_as', models.CharField(blank=True, help_text='the results in the storage, as Parquet', max_length=255)),
                ('batch', models.ForeignKey(help_text='where it was submitted after', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='dry_runs', to='philately.batch')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='dry_runs', to='philately.membership')),
                ('n_atoms', models.PositiveBigIntegerField(help_text='of those that pass, in their primitive cells', null=True)),
            ],
            options={
                'indexes': [models.Index(fields=['owner', 'created_at'], name='dry_run_owner_day'), models.Index(condition=models.Q(('state', 'waiting')), fields=['id'], name='dry_run_queue'), models.Index(fields=['expires_at'], name='dry_run_expiry')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'done', 'refused', 'set_aside'])), name='dry_run_state_known'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'refused'), _negated=True), models.Q(('problem', ''), _negated=True), _connector='OR'), name='dry_run_refusal_told')],
            },
        ),
        migrations.CreateModel(
            name='RelaxationGeometry',
            fields=[
                ('relaxation', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='geometry', serialize=False, to='philately.relaxationfact')),
                ('crystal', models.BinaryField(help_text='the relaxed cell as a packed crystal')),
                ('forces', models.BinaryField(help_text='float64, (n, 3), eV/Å')),
                ('stress', models.BinaryField(help_text='float64, (6,), eV/Å³, Voigt order of ASE')),
                ('history', models.BinaryField(help_text='float32, (k, 3): eV/atom, eV/Å, eV/Å³ of each step')),
                ('charges', models.BinaryField(help_text='float32, (n,), e, where the judge gives them', null=True)),
                ('magmoms', models.BinaryField(help_text='float32, (n,), μB, where the judge gives them', null=True)),
            ],
        ),
        migrations.CreateModel(
            name='RelaxedFingerprint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(help_text='reduced formula and atoms in the primitive cell', max_length=120)),
                ('packed', models.BinaryField(help_text='lengths and distances, float32')),
                ('relaxation', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='fingerprints', to='philately.relaxationfact')),
                ('release_phase', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='fingerprints', to='philately.releasephase')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('relaxation__isnull', False), ('release_phase__isnull', True)), models.Q(('relaxation__isnull', True), ('release_phase__isnull', False)), _connector='OR'), name='fingerprint_of_one'), models.UniqueConstraint(fields=('relaxation', 'key'), name='fingerprint_once_a_relaxation'), models.UniqueConstraint(fields=('release_phase', 'key'), name='fingerprint_once_a_release_phase')],
            },
        ),
        migrations.CreateModel(
            name='Opinion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('lease', models.CharField(editable=False, help_text='token of the worker that holds it', max_length=32, null=True)),
                ('lease_until', models.DateTimeField(editable=False, null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('state', models.CharField(choices=[('waiting', 'waiting'), ('relaxing', 'relaxing'), ('given', 'given'), ('set_aside', 'set aside')], default='waiting', max_length=16)),
                ('problem', models.TextField(blank=True, help_text='why the last attempt failed')),
                ('changed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('relaxation', models.ForeignKey(db_index=False, help_text='by the judge', on_delete=django.db.models.deletion.PROTECT, related_name='opinions', to='philately.relaxationfact')),
                ('result', models.ForeignKey(help_text='by the auditor', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='philately.relaxationfact')),
                ('scale', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='opinions', to='philately.scale')),
                ('silence', models.TextField(blank=True, help_text='why nothing was heard when verdicts were made that rest on that; they go on doing so')),
            ],
            options={
                'indexes': [models.Index(fields=['scale', 'state', 'id'], name='opinion_queue'), models.Index(condition=models.Q(('lease__isnull', False)), fields=['lease'], name='opinion_lease_token')],
                'constraints': [models.UniqueConstraint(fields=('relaxation', 'scale'), name='opinion_once_a_scale'), models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'relaxing', 'given', 'set_aside'])), name='opinion_state_known'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'given'), _negated=True), ('result__isnull', False), _connector='OR'), name='opinion_given_has_result'), models.CheckConstraint(condition=models.Q(models.Q(('lease__isnull', False), ('lease_until__isnull', False), ('state', 'relaxing')), models.Q(models.Q(('state', 'relaxing'), _negated=True), ('lease__isnull', True), ('lease_until__isnull', True)), _connector='OR'), name='opinion_lease_while_relaxing')],
            },
        ),
        migrations.CreateModel(
            name='Candidate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('lease', models.CharField(editable=False, help_text='token of the worker that holds it', max_length=32, null=True)),
                ('lease_until', models.DateTimeField(editable=False, null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('arrival', models.PositiveBigIntegerField()),
                ('state', models.CharField(choices=[('received', 'received'), ('checked', 'checked'), ('parsed', 'waiting for relaxation'), ('relaxing', 'relaxing'), ('relaxed', 'waiting for its turn'), ('placed', 'placed'), ('rejected', 'rejected'), ('parked', 'twin'), ('failed', 'failed, will be tried again'), ('set_aside', 'set aside'), ('withdrawn', 'withdrawn')], default='received', max_length=16)),
                ('reason', models.CharField(blank=True, help_text='reason code of a rejection', max_length=32)),
                ('failed_in', models.CharField(blank=True, choices=[('parse', 'parse'), ('settle', 'look for twins'), ('relax', 'relax'), ('place', 'place')], max_length=8)),
                ('formula', models.CharField(blank=True, help_text='reduced formula, elements in alphabetical order', max_length=100)),
                ('content_hash', models.CharField(blank=True, max_length=64)),
                ('n_atoms', models.PositiveIntegerField(help_text='in the primitive cell', null=True)),
                ('changed_at', models.DateTimeField(auto_now_add=True)),
                ('batch', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='candidates', to='philately.batch')),
                ('twin_of', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='twins', to='philately.candidate')),
                ('relaxation', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='candidates', to='philately.relaxationfact')),
                ('season', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='candidates', to='philately.season')),
                ('shard', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='candidates', to='philately.shard')),
                ('is_rerun', models.BooleanField(db_default=False, help_text='an organiser has it done again; such ones go before others, every second time')),
            ],
            options={
                'indexes': [models.Index(fields=['season', 'state', 'arrival'], name='candidate_queue'), models.Index(fields=['season', 'formula', 'arrival'], name='candidate_formula'), models.Index(fields=['batch', 'arrival'], name='candidate_batch'), models.Index(condition=models.Q(('lease_until__isnull', False)), fields=['state', 'lease_until'], name='candidate_lease'), models.Index(condition=models.Q(('lease__isnull', False)), fields=['lease'], name='candidate_lease_token'), models.Index(condition=models.Q(('twin_of__isnull', False)), fields=['twin_of'], name='candidate_twin'), models.Index(condition=models.Q(('is_rerun', True)), fields=['season', 'state', 'arrival'], name='candidate_rerun'), models.Index(fields=['batch', 'state', 'arrival'], name='candidate_batch_queue')],
                'constraints': [models.UniqueConstraint(fields=('season', 'arrival'), name='candidate_arrival_once'), models.CheckConstraint(condition=models.Q(('state__in', ['received', 'checked', 'parsed', 'relaxing', 'relaxed', 'placed', 'rejected', 'parked', 'failed', 'set_aside', 'withdrawn'])), name='candidate_state_known'), models.CheckConstraint(condition=models.Q(models.Q(('lease__isnull', False), ('lease_until__isnull', False), ('state', 'relaxing')), models.Q(models.Q(('state', 'relaxing'), _negated=True), ('lease__isnull', True), ('lease_until__isnull', True)), _connector='OR'), name='candidate_lease_while_relaxing'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'rejected'), _negated=True), models.Q(('reason', ''), _negated=True), _connector='OR'), name='candidate_rejection_told'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'parked'), _negated=True), ('twin_of__isnull', False), _connector='OR'), name='candidate_parked_under_twin'), models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['relaxed', 'placed']), _negated=True), ('relaxation__isnull', False), _connector='OR'), name='candidate_relaxed_has_relaxation'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'failed'), _negated=True), models.Q(('failed_in', ''), _negated=True), _connector='OR'), name='candidate_failure_located')],
            },
        ),
        migrations.CreateModel(
            name='ResumableUpload',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('token', models.CharField(max_length=64, unique=True)),
                ('metadata', models.TextField(blank=True, help_text='as the client sent it')),
                ('file_name', models.CharField(max_length=255)),
                ('method', models.CharField(max_length=100)),
                ('method_description', models.TextField(blank=True)),
                ('is_dry_run', models.BooleanField(default=False)),
                ('length', models.PositiveBigIntegerField(help_text='bytes of the whole')),
                ('offset', models.PositiveBigIntegerField(default=0, help_text='bytes that are safely on disk; the length only once the upload was handed over')),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
                ('batch', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='philately.batch')),
                ('dry_run', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='philately.dryrun')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='uploads', to='philately.membership')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('finished_at__isnull', True)), fields=['owner'], name='upload_unfinished'), models.Index(fields=['expires_at'], name='upload_expiry')],
                'constraints': [models.CheckConstraint(condition=models.Q(('offset__lte', models.F('length'))), name='upload_within_its_length'), models.CheckConstraint(condition=models.Q(('finished_at__isnull', True), ('offset', models.F('length')), _connector='OR'), name='upload_finished_is_whole')],
            },
        ),
        migrations.CreateModel(
            name='CandidateDetail',
            fields=[
                ('candidate', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='detail', serialize=False, to='philately.candidate')),
                ('file', models.CharField(max_length=255)),
                ('block', models.CharField(blank=True, max_length=255)),
                ('line', models.PositiveIntegerField(default=1, help_text='where the block begins in its file')),
                ('offset', models.PositiveBigIntegerField(help_text='bytes, in the decompressed shard')),
                ('length', models.PositiveBigIntegerField(help_text='bytes')),
                ('sentence', models.TextField(blank=True, help_text='why it was rejected, parked, failed or set aside')),
                ('geometry', models.BinaryField(help_text='the primitive cell as a packed crystal', null=True)),
                ('format', models.CharField(default='cif', help_text='how its text is to be read', max_length=8)),
            ],
        ),
        migrations.CreateModel(
            name='Phase',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveBigIntegerField(help_text="entry id in the run's hull")),
                ('status', models.CharField(choices=[('on_record', 'on record'), ('held', 'held'), ('refused', 'refused by an organiser'), ('undefined', 'distance undefined'), ('withdrawn', 'withdrawn')], default='on_record', max_length=16)),
                ('formula', models.CharField(max_length=100)),
                ('chemical_system', models.CharField(max_length=50)),
                ('energy_per_atom', models.FloatField(help_text='eV/atom, of the representative')),
                ('formation_energy_per_atom', models.FloatField(help_text='eV/atom, against the release', null=True)),
                ('candidate', models.ForeignKey(db_index=False, help_text='the lowest representative; none for a phase of the release that nobody refined', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='phases', to='philately.candidate')),
                ('first_candidate', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='found_phases', to='philately.candidate')),
                ('release_phase', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='philately.releasephase')),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='phases', to='philately.run')),
            ],
            options={
                'indexes': [models.Index(fields=['run', 'chemical_system'], name='phase_system'), models.Index(fields=['run', 'formula', 'energy_per_atom'], name='phase_formula'), models.Index(condition=models.Q(('status', 'held')), fields=['run'], name='phase_held')],
                'constraints': [models.UniqueConstraint(fields=('run', 'number'), name='phase_number_once'), models.CheckConstraint(condition=models.Q(models.Q(('first_candidate__isnull', True), ('release_phase__isnull', False)), models.Q(('candidate__isnull', False), ('first_candidate__isnull', False), ('release_phase__isnull', True)), _connector='OR'), name='phase_of_release_or_of_candidate')],
            },
        ),
        migrations.CreateModel(
            name='RunExclusion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reason', models.TextField(blank=True)),
                ('by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('candidate', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='exclusions', to='philately.candidate')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='exclusions', to='philately.run')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('run', 'candidate'), name='exclusion_once_a_run')],
            },
        ),
        migrations.CreateModel(
            name='Withdrawal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reason', models.TextField(blank=True)),
                ('asked_at', models.DateTimeField(auto_now_add=True)),
                ('done_at', models.DateTimeField(help_text='none until it has been relaxed and taken out of the run', null=True)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('candidate', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='withdrawal', to='philately.candidate')),
                ('attempts', models.PositiveSmallIntegerField(default=0, help_text='of taking it out of the run that failed')),
                ('problem', models.TextField(blank=True, help_text='why the last attempt failed; after three an organiser decides')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('done_at__isnull', True)), fields=['id'], name='withdrawal_open')],
            },
        ),
        migrations.CreateModel(
            name='InitialFingerprint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.BigIntegerField(help_text='of reduced formula and atoms in the primitive cell')),
                ('n_atoms', models.PositiveIntegerField(help_text='in the primitive cell')),
                ('shortest', models.FloatField(help_text='logarithm of the shortest lattice vector')),
                ('contrast', models.FloatField(help_text='of near and next neighbours')),
                ('fourth', models.FloatField(help_text='logarithm of the fourth lattice vector')),
                ('packed', models.BinaryField(help_text='lengths and distances, float32')),
                ('candidate', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='fingerprints', to='philately.candidate')),
                ('season', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='philately.season')),
            ],
            options={
                'indexes': [models.Index(fields=['season', 'key', 'shortest', 'contrast', 'fourth'], name='initial_fingerprint_search')],
            },
        ),
        migrations.CreateModel(
            name='Decision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('arrival', models.PositiveBigIntegerField(help_text='it counts after whatever has a lower number')),
                ('accepted', models.BooleanField(help_text='else refused')),
                ('reason', models.TextField(help_text='shown to its owner')),
                ('decided_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('by', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('candidate', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='philately.candidate')),
                ('season', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='philately.season')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('season', 'arrival'), name='decision_arrival_once')],
            },
        ),
        migrations.CreateModel(
            name='Rerun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('arrival_before', models.PositiveBigIntegerField()),
                ('state_before', models.CharField(choices=[('received', 'received'), ('checked', 'checked'), ('parsed', 'waiting for relaxation'), ('relaxing', 'relaxing'), ('relaxed', 'waiting for its turn'), ('placed', 'placed'), ('rejected', 'rejected'), ('parked', 'twin'), ('failed', 'failed, will be tried again'), ('set_aside', 'set aside'), ('withdrawn', 'withdrawn')], max_length=16)),
                ('reason_before', models.CharField(blank=True, help_text='reason code of the rejection', max_length=32)),
                ('sentence_before', models.TextField(blank=True)),
                ('reason', models.TextField(blank=True)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('by', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('candidate', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reruns', to='philately.candidate')),
            ],
        ),
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text="by the database's clock")),
                ('who', models.CharField(help_text='name of the user; else of the account that ran the command', max_length=150)),
                ('deed', models.CharField(max_length=32)),
                ('reason', models.TextField(blank=True)),
                ('parameters', models.JSONField(default=dict, help_text='what was asked for')),
                ('outcome', models.JSONField(default=dict, help_text='what came of it')),
                ('batch', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='philately.batch')),
                ('by', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('candidate', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='philately.candidate')),
                ('member', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='philately.membership')),
                ('run', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='philately.run')),
                ('season', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='audit_log', to='philately.season')),
            ],
            options={
                'verbose_name_plural': 'audit log',
                'indexes': [models.Index(fields=['season', 'id'], name='audit_log_season')],
            },
        ),
        migrations.CreateModel(
            name='ScoreEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveBigIntegerField()),
                ('points', models.FloatField()),
                ('reason', models.CharField(choices=[('unique', 'unique'), ('metastable', 'metastable'), ('stable', 'stable'), ('first_of_system', 'first_of_system'), ('dethroned', 'dethroned'), ('dethroned_first', 'dethroned_first'), ('back_on_hull', 'back_on_hull'), ('withdrawn_unique', 'withdrawn_unique'), ('withdrawn_metastable', 'withdrawn_metastable'), ('withdrawn_stable', 'withdrawn_stable'), ('withdrawn_first', 'withdrawn_first'), ('settled', 'settled'), ('settled_first', 'settled_first'), ('paid', 'paid'), ('paid_first', 'paid_first'), ('withdrawn_paid', 'withdrawn_paid'), ('withdrawn_paid_first', 'withdrawn_paid_first')], max_length=24)),
                ('formula', models.CharField(max_length=100)),
                ('provisional', models.BooleanField()),
                ('log_position', models.PositiveBigIntegerField()),
                ('written_at', models.DateTimeField(auto_now_add=True)),
                ('candidate', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='scores', to='philately.candidate')),
                ('member', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='scores', to='philately.membership')),
                ('phase', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='scores', to='philately.phase')),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='scores', to='philately.run')),
                ('round', models.ForeignKey(db_index=False, help_text='whose close it is', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='scores', to='philately.round')),
            ],
            options={
                'verbose_name_plural': 'score entries',
                'indexes': [models.Index(fields=['run', 'candidate'], name='score_candidate'), models.Index(fields=['run', 'formula'], name='score_formula')],
                'constraints': [models.UniqueConstraint(fields=('run', 'number'), name='score_number_once')],
            },
        ),
        migrations.CreateModel(
            name='Placement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('verdict', models.CharField(choices=[('stable', 'stable'), ('metastable', 'metastable'), ('unstable', 'unstable'), ('duplicate', 'duplicate'), ('refined', 'refined'), ('rejected', 'rejected'), ('held', 'held'), ('undefined', 'undefined')], max_length=16)),
                ('reason', models.CharField(blank=True, max_length=32)),
                ('sentence', models.TextField(blank=True)),
                ('energy_per_atom', models.FloatField()),
                ('formation_energy_per_atom', models.FloatField(null=True)),
                ('e_above_hull_on_arrival', models.FloatField(null=True)),
                ('decomposition_energy', models.FloatField(null=True)),
                ('decomposition', models.JSONField(default=list, help_text='[phase number, fraction of the atoms], on arrival')),
                ('missing_elements', models.JSONField(default=list)),
                ('is_novel', models.BooleanField(help_text='not in the release; undefined unless its coverage is full', null=True)),
                ('log_position', models.PositiveBigIntegerField()),
                ('placed_at', models.DateTimeField(auto_now_add=True)),
                ('candidate', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='placements', to='philately.candidate')),
                ('phase', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='placements', to='philately.phase')),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='placements', to='philately.run')),
                ('withdrawn_after', models.PositiveBigIntegerField(help_text='arrival number up to which the run had placed everything when the candidate was taken out', null=True)),
                ('decision', models.ForeignKey(db_index=False, help_text="an organiser's, once the run has come to it", null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='philately.decision')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('run', 'candidate'), name='placement_once_a_run')],
            },
        ),
        migrations.CreateModel(
            name='LogEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveBigIntegerField()),
                ('kind', models.CharField(choices=[('stable', 'came onto the hull'), ('dethroned', 'left the hull'), ('restored', 'came back onto the hull'), ('refined', 'energy lowered by a duplicate'), ('accepted', 'came onto the record, an organiser accepted it'), ('withdrawn', 'left the record, withdrawn'), ('replaced', 'has another representative, the last one was withdrawn'), ('inherited', 'has another finder, the first one was withdrawn')], max_length=16)),
                ('written_at', models.DateTimeField(auto_now_add=True)),
                ('candidate', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='philately.candidate')),
                ('by', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='philately.phase')),
                ('phase', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='log', to='philately.phase')),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='log', to='philately.run')),
                ('withdrawal', models.ForeignKey(db_index=False, help_text='what caused it, where no arrival did', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='philately.withdrawal')),
                ('decision', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='philately.decision')),
            ],
            options={
                'verbose_name_plural': 'log entries',
                'constraints': [models.UniqueConstraint(fields=('run', 'position'), name='log_position_once')],
            },
        ),
        migrations.AddField(
            model_name='season',
            name='official_run',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='official_for', to='philately.run'),
        ),
        migrations.RunPython(set_storage, reset_storage),
    ]
