"""Settings, all from the environment; docs/operations.md lists them in one table.

The defaults run the whole platform on one machine: SQLite, Celery on the filesystem broker, local files, loopback only.
"""

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from environs import Env

env = Env()

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / "data"))).resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = env.bool("DEBUG", False)
HTTPS = env.bool("HTTPS", False)  # behind a proxy that terminates TLS and sets X-Forwarded-Proto
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])
if not (DEBUG or HTTPS) and set(ALLOWED_HOSTS) - {"localhost", "127.0.0.1", "[::1]", "testserver"}:
    raise ImproperlyConfigured("serving other hosts than this machine needs HTTPS=1 (or DEBUG=1 while you develop)")


def _own_secret_key() -> str:
    """A key made once for this data folder, readable by its owner only."""
    path = DATA_DIR / "secret_key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as stream:
        stream.write(key := secrets.token_urlsafe(50))
    return key


SECRET_KEY = env.str("SECRET_KEY", "") or _own_secret_key()

INSTALLED_APPS = [
    "philately",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

ROOT_URLCONF = "philately.urls"
WSGI_APPLICATION = "philately.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": env.dj_db_url("DATABASE_URL", f"sqlite:///{DATA_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # WAL and IMMEDIATE: several processes write, and a write that must wait does so at its start instead of failing.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 60,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
if DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # A page's query is estimated by all that it might read: compiling it would take seconds, running it milliseconds.
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("options", "-c jit=off")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "philately.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
MEDIA_ROOT = DATA_DIR / "files"  # uploads and shards; never served as they are
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or env.bool("PLAIN_STATIC", False)
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
DUMP_DIR = DATA_DIR / "dumps"
HULL_DIR = DATA_DIR / "hulls"  # snapshots, for a fast start; they may be deleted at any time

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
X_FRAME_OPTIONS = "DENY"

# Uploads. Django spools what is larger than 2.5 MB to a temporary file; the limits below are checked while reading.
UPLOAD_LIMIT_BYTES = env.int("UPLOAD_LIMIT_BYTES", 1_000_000_000)
UPLOAD_LIMIT_DECOMPRESSED_BYTES = env.int("UPLOAD_LIMIT_DECOMPRESSED_BYTES", 4_000_000_000)
UPLOAD_LIMIT_MEMBERS = env.int("UPLOAD_LIMIT_MEMBERS", 1_000_000)  # files, and structures
UPLOAD_LIMIT_S = env.float("UPLOAD_LIMIT_S", 3600.0)  # reading one upload
SHARD_SIZE = env.int("SHARD_SIZE", 1000)  # structures
STAGING_DIR = DATA_DIR / "staging"  # what has come of resumable uploads; never served
UPLOAD_EXPIRES_S = env.float(
    "UPLOAD_EXPIRES_S", 86_400.0
)  # an unfinished upload is removed so long after its last byte
UPLOAD_STALL_S = env.float("UPLOAD_STALL_S", 30.0)  # a sender that is silent for so long is hung up on, and may resume
UPLOAD_PART_LIMIT_S = env.float("UPLOAD_PART_LIMIT_S", 900.0)  # the longest that one request may send
DRY_RUN_KEPT_S = env.float("DRY_RUN_KEPT_S", 7 * 86_400.0)

# Quotas of a participant; each may be set otherwise for one season. A day is the last 24 hours.
UPLOADS_A_DAY = env.int("UPLOADS_A_DAY", 200)
UPLOAD_BYTES_A_DAY = env.int("UPLOAD_BYTES_A_DAY", 10_000_000_000)
UPLOADS_UNFINISHED = env.int("UPLOADS_UNFINISHED", 5)  # at a time
STRUCTURES_A_DAY = env.int("STRUCTURES_A_DAY", 1_000_000)
STRUCTURES_A_SEASON = env.int("STRUCTURES_A_SEASON", 20_000_000)
ATOM_STEPS_A_DAY = env.int("ATOM_STEPS_A_DAY", 2_000_000_000)  # a million structures of 20 atoms and 100 steps
ATOM_STEPS_A_SEASON = env.int("ATOM_STEPS_A_SEASON", 40_000_000_000)

# Celery carries doorbells only; the database is the queue of record.
BROKER_URL = env.str("BROKER_URL", "filesystem://")
QUEUE_PREFIX = env.str("QUEUE_PREFIX", "")  # where installations share a broker
BROKER_DIR = DATA_DIR / "broker"

# Work. Leases are renewed while work goes on; what outlives its lease is taken from its worker.
PARSE_LIMIT_S = env.float("PARSE_LIMIT_S", 20.0)  # one structure
PARSE_LIMIT_BYTES = env.int("PARSE_LIMIT_BYTES", 2 << 30)  # address space of a process that reads one structure
PARSE_CHILDREN = env.int("PARSE_CHILDREN", 1)  # such processes of each parse worker
RELAX_LIMIT_S = env.float("RELAX_LIMIT_S", 900.0)  # one structure
RELAX_CLAIM_ATOMS = env.int("RELAX_CLAIM_ATOMS", 64)  # atoms claimed at a time, until a batch is full
RELAX_TURN_S = env.float("RELAX_TURN_S", 60.0)  # then a worker turns to another scale, if structures wait there
RELAX_WORKERS = env.int("RELAX_WORKERS", max(1, min(os.cpu_count() or 1, 8)))
RELAX_THREADS = env.int("RELAX_THREADS", 1)  # torch threads of each relax worker
LEASE_S = env.float("LEASE_S", 120.0)
SEQUENCER_LEASE_S = env.float("SEQUENCER_LEASE_S", 15.0)  # after this a second sequencer takes over from a dead one
SWEEP_EVERY_S = env.float("SWEEP_EVERY_S", 5.0)
RETRY_AFTER_S = env.float("RETRY_AFTER_S", 10.0)  # a failed step is tried again after this, twice as long each time
MAX_ATTEMPTS = 3
DUMP_EVERY_S = env.float("DUMP_EVERY_S", 3600.0)  # while work goes on; when all is quiet the dump is made at once
HULL_SNAPSHOT_EVERY = env.int("HULL_SNAPSHOT_EVERY", 50_000)  # phases and log entries
HULL_AUDIT_EVERY_S = env.float("HULL_AUDIT_EVERY_S", 86_400.0)  # of an official run that has moved since
PLACE_CHUNK = env.int("PLACE_CHUNK", 5000)
PLACE_DEADLINE_S = env.float("PLACE_DEADLINE_S", 7 * 86_400.0)  # the longest that one candidate holds up the others

FIGURES_KEPT_FROM_S = env.float("FIGURES_KEPT_FROM_S", 0.05)  # what takes longer to count is kept

DATA_LICENCE = env.str("DATA_LICENCE", "CC BY 4.0")

LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "philately": {"handlers": ["stderr"], "level": LOG_LEVEL, "propagate": False},
        "kombu.connection": {"level": "ERROR"},  # it warns that the filesystem has no host name
        "moyo": {"level": "ERROR"},  # it warns that a supercell hides operations, which nobody here asks for
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
