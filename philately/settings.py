"""Settings, all from the environment; docs/operations.md lists them in one table.

The defaults run the whole platform on one machine: SQLite, Celery on the filesystem broker, local files, loopback only.
"""

import logging
import os
import re
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from environs import Env

from philately.logs import FORMATS
from philately.postgres import pooled
from philately.service.limit_settings import Limit, cache_at, limit_from, networks_from
from philately.storage.address import BadAddress, storage_of

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
if HTTPS and DEBUG:
    raise ImproperlyConfigured("DEBUG=1 shows settings and code to every visitor: it is not for HTTPS=1")
if HTTPS and "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS=* lets anybody choose the host in our links: name the hosts")
_SECRETS = ["METRICS_TOKEN", "DATABASE_URL", "BROKER_URL", "STORAGE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
for _name in _SECRETS:
    if "change-me" in re.split("[:/@]", env.str(_name, "")):
        raise ImproperlyConfigured(f"{_name} has the change-me of .env.example, which everybody knows: put in your own")


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


SECRET_KEY = env.str("SECRET_KEY", "")
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", [])  # older ones: what they signed stays valid
if HTTPS and any(len(key) < 50 or len(set(key)) < 10 for key in (*filter(None, [SECRET_KEY]), *SECRET_KEY_FALLBACKS)):
    raise ImproperlyConfigured("SECRET_KEY and its fallbacks are random texts of at least 50 characters")
SECRET_KEY = SECRET_KEY or _own_secret_key()

INSTALLED_APPS = [
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
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
    "philately.pages.watched.Watched",
    "csp.middleware.CSPMiddleware",  # these three are for every answer, monitors' too
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "philately.pages.headers.SafeHeaders",
    "philately.pages.probes.Probes",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "philately.pages.faults.Faults",
    "philately.pages.staff_door.StaffDoor",
]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
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
DATABASE_POOL_SIZE = env.int("DATABASE_POOL_SIZE", 20)  # connections of one process, on PostgreSQL; 0: no pool
DATABASE_WAIT_S = env.float("DATABASE_WAIT_S", 10.0)  # for one of them
WEB_STATEMENT_LIMIT_S = env.float("WEB_STATEMENT_LIMIT_S", 30.0)  # of the web server's statements, on PostgreSQL
WEB_LOCK_LIMIT_S = env.float("WEB_LOCK_LIMIT_S", 10.0)
if DATABASES["default"]["ENGINE"].endswith("postgresql"):
    DATABASES["default"] = pooled(DATABASES["default"], size=DATABASE_POOL_SIZE, timeout_s=DATABASE_WAIT_S)
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
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(DATA_DIR / "static"))).resolve()
try:  # MEDIA_ROOT: uploads, shards and dumps, where they are local; never served as they are
    _STORAGE, MEDIA_ROOT = storage_of(env.str("STORAGE_URL", ""), DATA_DIR / "files")
except BadAddress as error:
    raise ImproperlyConfigured(str(error)) from None
STORAGES = {
    "default": _STORAGE,
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or env.bool("PLAIN_STATIC", False)
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
DUMP_DIR = DATA_DIR / "dumps"  # where one is written before it goes to the storage
HULL_DIR = DATA_DIR / "hulls"  # snapshots, for a fast start; they may be deleted at any time

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = env.int("HSTS_S", 31_536_000) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS and env.bool("HSTS_SUBDOMAINS", True)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]  # asked from inside, past the proxy
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CSRF_COOKIE_HTTPONLY = True  # scripts take the token from the form
if HTTPS:  # which no other host of the same domain can set
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
STAFF_SESSION_S = env.int("STAFF_SESSION_S", 43_200)  # then staff show their second factor again

# A password alone does not open everything. Off by default only where nobody but this machine is served.
STAFF_SECOND_FACTOR = env.bool("STAFF_SECOND_FACTOR", HTTPS)
if HTTPS and not (DEBUG or STAFF_SECOND_FACTOR):
    raise ImproperlyConfigured("with HTTPS=1 staff need a second factor: leave STAFF_SECOND_FACTOR out, or set it to 1")
OTP_TOTP_ISSUER = "Crystal Philately"

# Counters that all web processes share. What is in the cache may be lost at any time.
CACHE_URL = env.str("CACHE_URL", "locmem://")
CACHES = {
    "default": cache_at(CACHE_URL, prefix=env.str("CACHE_PREFIX", "philately")),
    "local": cache_at("locmem://", prefix="local"),  # counts while the shared one does not answer
    "figures": cache_at("locmem://", prefix="figures"),  # what pages count, kept by each process for itself
}
TRUSTED_PROXIES: list[str] = env.list("TRUSTED_PROXIES", [])  # addresses and networks; unix: a socket file
TRUSTED_NETWORKS = networks_from(TRUSTED_PROXIES)
LIMITS: dict[str, Limit] = {
    name.removeprefix("LIMIT_"): limit_from(name, text)
    for name, text in {
        "LIMIT_LOGINS_OF_ACCOUNT": env.str("LIMIT_LOGINS_OF_ACCOUNT", "10/300"),
        "LIMIT_LOGINS_FROM_ADDRESS": env.str("LIMIT_LOGINS_FROM_ADDRESS", "60/300"),
        "LIMIT_SIGNUPS_FROM_ADDRESS": env.str("LIMIT_SIGNUPS_FROM_ADDRESS", "60/3600"),
        "LIMIT_CODES": env.str("LIMIT_CODES", "10/300"),
        "LIMIT_UPLOADS": env.str("LIMIT_UPLOADS", "60/60"),
        "LIMIT_TABLES": env.str("LIMIT_TABLES", "60/60"),
        "LIMIT_DUMPS": env.str("LIMIT_DUMPS", "60/60"),
        "LIMIT_REQUESTS_BY_KEY": env.str("LIMIT_REQUESTS_BY_KEY", "600/60"),
        "LIMIT_WRONG_KEYS": env.str("LIMIT_WRONG_KEYS", "30/60"),
    }.items()
}

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
STORAGE_FLOOR_BYTES = env.int("STORAGE_FLOOR_BYTES", 1_000_000_000)  # uploads are refused that would leave less free
QUEUE_LIMIT = env.int("QUEUE_LIMIT", 20_000_000)  # structures of a season that wait to be relaxed; 0: any number

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
if HTTPS and not env.str("SECRET_KEY", "") and not BROKER_URL.startswith("filesystem"):
    raise ImproperlyConfigured("where several machines serve, each would make a key of its own: set SECRET_KEY")

# Work. Leases are renewed while work goes on; what outlives its lease is taken from its worker.
PARSE_LIMIT_S = env.float("PARSE_LIMIT_S", 20.0)  # one structure
PARSE_LIMIT_BYTES = env.int("PARSE_LIMIT_BYTES", 2 << 30)  # address space of a process that reads one structure
PARSE_CHILDREN = env.int("PARSE_CHILDREN", 1)  # such processes of each parse worker
RELAX_LIMIT_S = env.float("RELAX_LIMIT_S", 900.0)  # one structure
RELAX_CLAIM_ATOMS = env.int("RELAX_CLAIM_ATOMS", 64)  # atoms claimed at a time, or as many as a second takes
RELAX_TURN_S = env.float("RELAX_TURN_S", 60.0)  # then a worker turns to another scale, if structures wait there
RELAX_WORKERS = env.int("RELAX_WORKERS", max(1, min(os.cpu_count() or 1, 8)))
RELAX_THREADS = env.int("RELAX_THREADS", 1)  # torch threads of each relax worker
LEASE_S = env.float("LEASE_S", 120.0)
SEQUENCER_LEASE_S = env.float("SEQUENCER_LEASE_S", 15.0)  # after this a second sequencer takes over from a dead one
SWEEP_EVERY_S = env.float("SWEEP_EVERY_S", 5.0)
RELEASE_AHEAD = env.int("RELEASE_AHEAD", 3000)  # structures released to a season's queue before workers ask for them
FORGOTTEN_AFTER_S = env.float("FORGOTTEN_AFTER_S", 600.0)  # then the sweeper mends what no worker will come for
SILENT_AFTER_S = env.float("SILENT_AFTER_S", 600.0)  # then the log says that nobody answers a bell
RETRY_AFTER_S = env.float("RETRY_AFTER_S", 10.0)  # a failed step is tried again after this, twice as long each time
MAX_ATTEMPTS = 3
DUMP_EVERY_S = env.float("DUMP_EVERY_S", 3600.0)  # while work goes on; when all is quiet at once, or after a rest
HULL_SNAPSHOT_EVERY = env.int("HULL_SNAPSHOT_EVERY", 50_000)  # phases and log entries
HULL_AUDIT_EVERY_S = env.float("HULL_AUDIT_EVERY_S", 86_400.0)  # of an official run that has moved since
HULLS_KEPT_BYTES = env.int("HULLS_KEPT_BYTES", 1 << 30)  # of a sequencer: hulls of the seasons that it placed in last
PLACE_CHUNK = env.int("PLACE_CHUNK", 5000)
PLACE_DEADLINE_S = env.float("PLACE_DEADLINE_S", 7 * 86_400.0)  # the longest that one candidate holds up the others

CODE_COMMIT = env.str("CODE_COMMIT", "")  # of an image, which is no checkout

FIGURES_KEPT_FROM_S = env.float("FIGURES_KEPT_FROM_S", 0.05)  # what takes longer to count is kept

DATA_LICENCE = env.str("DATA_LICENCE", "CC BY 4.0")

# Watching
METRICS_TOKEN = env.str("METRICS_TOKEN", "")  # what a scraper shows; without one /metrics is for this machine alone
METRICS_KEPT_S = env.float("METRICS_KEPT_S", 15.0)  # figures from the database are read at most so often
METRICS_FOLDER = env.str("PROMETHEUS_MULTIPROC_DIR", "")  # shared by a web server's processes, where it has several
READY_LIMIT_S = env.float("READY_LIMIT_S", 2.0)  # database, storage and broker each answer /readyz within this

LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOG_FORMAT = env.str("LOG_FORMAT", "line")
if LOG_FORMAT not in FORMATS:
    raise ImproperlyConfigured(f"LOG_FORMAT is one of {', '.join(FORMATS)}, and not {LOG_FORMAT}")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {LOG_FORMAT: {"()": FORMATS[LOG_FORMAT]}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "loggers": {
        "philately": {"handlers": ["stderr"], "level": LOG_LEVEL, "propagate": False},
        "kombu.connection": {"level": "ERROR"},  # it warns that the filesystem has no host name
        "moyo": {"level": "ERROR"},  # it warns that a supercell hides operations, which nobody here asks for
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
logging.captureWarnings(True)  # which are lines of the log then, too
