"""Settings, compose files and documents say the same; production is refused where it would not be safe."""

import os
import re
import secrets
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from philately.broker import QUEUES
from philately.service import web_config

ROOT = Path(__file__).resolve().parents[1]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
SETTINGS = (ROOT / "philately" / "settings.py").read_text()
COMPOSE = {name: yaml.safe_load((ROOT / name).read_text()) for name in ("compose.yaml", "compose.gpu.yaml")}
EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
OURS = [
    (file, name) for file in COMPOSE for name, one in COMPOSE[file]["services"].items() if "philately" in one["image"]
]
READ_BY_OTHERS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "WEB_CONCURRENCY"}  # by boto, by gunicorn
OF_COMPOSE = {"POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "IMAGE_TAG", "TORCH_INDEX", "WEB_PORT", "PRIVATE_ADDRESS"}
OF_COMPOSE |= {"RELAX_REPLICAS", "COMMIT", "POSTGRES_SHARED_BUFFERS"}
OF_BOTH = {"QUEUE_PREFIX"}  # settings have it, too

KEY = secrets.token_urlsafe(50)
PRODUCTION = {
    "HTTPS": "1",
    "ALLOWED_HOSTS": "competition.example.org,localhost",
    "CSRF_TRUSTED_ORIGINS": "https://competition.example.org",
    "SECRET_KEY": KEY,
    "DATABASE_URL": "postgresql://philately:secret@postgres:5432/philately",
    "BROKER_URL": "amqp://philately:secret@rabbitmq:5672//",
    "STORAGE_URL": "s3://philately?endpoint_url=http://storage:9000&region=us-east-1",
}


def settings_read():
    return set(re.findall(r"env\.\w+\(\s*\"(\w+)\"", SETTINGS))


def settings_in_table():
    table = OPERATIONS.split("## Settings")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", table, re.M)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_the_table_of_settings_has_each_that_is_read_and_no_other():
    assert settings_read() == settings_in_table() - READ_BY_OTHERS
    assert len(settings_read()) > 40


def check(tmp_path, **changes):
    """``manage.py check --deploy`` as an administrator types it, with nothing of this process's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    own = {name: value for name, value in {**PRODUCTION, **changes}.items() if value is not None}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "INFO"],
        cwd=ROOT,
        env={**kept, **own, "DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_production_that_is_documented_passes_django_s_checks(tmp_path):
    done = check(tmp_path)

    assert done.returncode == 0, done.stderr
    assert "no issues (0 silenced)" in done.stdout
    assert not (tmp_path / "data" / "secret_key").exists()


def refusal(**changes):
    """The sentence with which settings refuse this environment; empty where they take it."""
    own = {name: value for name, value in {**PRODUCTION, **changes}.items() if value is not None}
    code = "import runpy; runpy.run_path('philately/settings.py')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATA_DIR": os.environ["DATA_DIR"], **own},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1:] if done.returncode else [""]
    assert not any(secret in done.stderr for secret in ("hidden", KEY))
    return last[0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"SECRET_KEY": None}, "each would make a key of its own: set SECRET_KEY"),
        ({"SECRET_KEY": "hidden"}, "at least 50 characters"),
        ({"SECRET_KEY_FALLBACKS": "hidden"}, "at least 50 characters"),
        ({"DEBUG": "1"}, "DEBUG=1 shows settings and code"),
        ({"ALLOWED_HOSTS": "*"}, "name the hosts"),
        ({"HTTPS": "0"}, "needs HTTPS=1"),
        ({"STORAGE_URL": "http://hidden@bucket"}, "begins with s3:// or file:///"),
        ({"METRICS_TOKEN": "change-me"}, "METRICS_TOKEN has the change-me"),
        ({"DATABASE_URL": "postgresql://philately:change-me@postgres/philately"}, "DATABASE_URL has the change-me"),
        ({"BROKER_URL": "amqp://philately:change-me@rabbitmq:5672//"}, "BROKER_URL has the change-me"),
        ({"STORAGE_URL": "s3://change-me:hidden@philately"}, "STORAGE_URL has the change-me"),
        ({"AWS_ACCESS_KEY_ID": "change-me"}, "AWS_ACCESS_KEY_ID has the change-me"),
        ({"AWS_SECRET_ACCESS_KEY": "change-me"}, "AWS_SECRET_ACCESS_KEY has the change-me"),
    ],
)
def test_what_would_not_be_safe_is_refused_with_a_sentence(changes, sentence):
    assert sentence in refusal(**changes)


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({}, "max-age=31536000; includeSubDomains; preload"),
        ({"HSTS_SUBDOMAINS": "0"}, "max-age=31536000"),
        ({"HSTS_S": "300"}, "max-age=300; includeSubDomains; preload"),
        ({"HSTS_S": "0"}, ""),
    ],
)
def test_for_how_long_and_for_which_hosts_browsers_insist_on_tls(tmp_path, changes, sent):
    code = (
        "from django.http import HttpResponse; from django.test import RequestFactory; "
        "from django.middleware.security import SecurityMiddleware; "
        "answer = SecurityMiddleware(lambda request: HttpResponse())(RequestFactory().get('/', secure=True)); "
        "print(answer.get('Strict-Transport-Security', ''))"
    )
    own = {"DJANGO_SETTINGS_MODULE": "philately.settings", "DATA_DIR": str(tmp_path), **PRODUCTION, **changes}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **own},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.strip() == sent, done.stderr


def test_an_older_key_may_be_kept_while_it_is_changed():
    assert refusal(SECRET_KEY_FALLBACKS=f"{secrets.token_urlsafe(50)},{secrets.token_urlsafe(50)}") == ""


class TestCompose:
    @pytest.mark.parametrize(("file", "name"), OURS)
    def test_every_service_s_command_is_one_that_the_code_has(self, file, name):
        words = [word for part in COMPOSE[file]["services"][name]["command"] for word in part.split()]

        if "manage.py" in words:
            named = [words[place + 1] for place, word in enumerate(words) if word == "manage.py"]
            assert all(command in get_commands() for command in named)
        elif words[0] == "celery":
            assert words[words.index("--app") + 1] == "philately.broker"
            assert words[words.index("--queues") + 1] in {f"${{QUEUE_PREFIX:-}}{queue}" for queue in QUEUES}
        else:
            assert words[:2] == ["gunicorn", "philately.wsgi"]

    def test_there_is_a_worker_for_each_queue_one_for_the_web_and_a_sweeper(self):
        services = COMPOSE["compose.yaml"]["services"]

        assert {"init", "web", "sweeper", "postgres", "rabbitmq", "storage", *QUEUES} <= set(services)
        assert all("healthcheck" in services[name] for name in ("web", "postgres", "rabbitmq", "redis", "storage"))
        assert all(one["restart"] == "unless-stopped" for name, one in services.items() if name != "init")

    @pytest.mark.parametrize("file", COMPOSE)
    def test_volumes_and_services_that_are_named_are_there(self, file):
        services = COMPOSE[file]["services"]
        used = {volume.partition(":")[0] for one in services.values() for volume in one.get("volumes", ())}

        assert {name for name in used if not name.startswith("./")} == set(COMPOSE[file]["volumes"])
        assert {other for one in services.values() for other in one.get("depends_on", ())} <= set(services)

    def test_commands_that_the_document_runs_in_a_container_are_ones_that_the_code_has(self):
        commands = re.findall(r"^docker compose run --rm web python manage\.py (.+?)(?:  +#.*)?$", OPERATIONS, re.M)

        assert len(commands) >= 4
        for name, *words in map(shlex.split, commands):
            app = get_commands()[name]
            load_command_class(app, name).create_parser("manage.py", name).parse_args(words)

    @pytest.mark.parametrize("file", COMPOSE)
    def test_folders_of_the_host_are_alike_everywhere_and_in_neither_git_nor_image(self, file):
        services = [COMPOSE[file]["services"][name] for other, name in OURS if other == file]
        shared = [[volume for volume in one["volumes"] if volume.startswith("./")] for one in services]
        left_out = (ROOT / ".dockerignore").read_text().split()

        assert all(one == ["./models:/models:ro", "./exchange:/exchange"] for one in shared)
        for folder in ("models", "exchange"):
            assert f"/{folder}/" in (ROOT / ".gitignore").read_text().split()
            assert folder in left_out
        owner = re.search(r"--uid (\d+)", (ROOT / "Dockerfile").read_text())[1]
        assert f"install -d -o {owner} exchange" in OPERATIONS

    def test_every_variable_of_the_example_is_a_setting_or_compose_s_own(self):
        assert set(EXAMPLE) - settings_read() - READ_BY_OTHERS == OF_COMPOSE & set(EXAMPLE)

    @pytest.mark.parametrize("file", COMPOSE)
    def test_every_variable_of_a_file_is_in_the_example_or_has_a_default(self, file):
        asked = re.findall(r"\$\{(\w+)(:-)?", (ROOT / file).read_text())

        assert asked
        assert {name for name, _ in asked} <= OF_COMPOSE | OF_BOTH | READ_BY_OTHERS
        assert settings_read() >= OF_BOTH
        assert {name for name, default in asked if not default} <= set(EXAMPLE)

    @pytest.mark.parametrize(("file", "name"), OURS)
    def test_services_get_their_settings_from_the_file_of_secrets_alone(self, file, name):
        service = COMPOSE[file]["services"][name]

        assert service["env_file"] == ".env"
        assert "environment" not in service

    def test_the_example_holds_no_secret(self):
        secret = [name for name in EXAMPLE if re.search(r"KEY|PASSWORD|SECRET", name)]

        assert {EXAMPLE[name] for name in secret} == {"change-me"}
        assert refusal(**{**dict.fromkeys(PRODUCTION), **EXAMPLE}) != ""

    def test_the_example_filled_in_is_what_was_checked(self):
        filled = {name: value.replace("change-me", KEY) for name, value in EXAMPLE.items()}

        assert refusal(**{**dict.fromkeys(PRODUCTION), **filled}) == ""

    def test_git_takes_the_example_and_not_the_secrets(self):
        ignored = subprocess.run(
            ["git", "check-ignore", ".env", ".env.example"], cwd=ROOT, capture_output=True, text=True, check=False
        )

        assert ignored.stdout.split() == [".env"]


class TestImage:
    IMAGE = (ROOT / "Dockerfile").read_text()

    def test_it_compiles_collects_and_gives_up_the_administrator_s_rights(self):
        before, _, after = self.IMAGE.partition("\nUSER philately\n")

        assert after
        assert "python -m hull && python -m validation.compiling" in after
        assert "manage.py collectstatic" in after
        assert "USER" not in before.replace("useradd", "")

    def test_what_it_copies_and_runs_is_there_and_not_left_out(self):
        left_out = (ROOT / ".dockerignore").read_text().split()

        for name in (
            ".ci/check_torch.py",
            "requirements.txt",
            "manage.py",
            "hull/__main__.py",
            "validation/compiling.py",
        ):
            assert (ROOT / name).exists()
            assert not any(name.startswith(f"{folder}/") or name == folder for folder in left_out)
        assert {".env", ".git", "data"} <= set(left_out)

    @pytest.mark.parametrize(("kind", "status"), [("cpu", 0), ("gpu", 1), ("other", 2)])
    def test_the_torch_of_this_installation_is_told_from_the_other_kind(self, tmp_path, kind, status):
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('what it needs is not there yet')")
        (tmp_path / "torch" / "version.py").write_text("from typing import Optional\ncuda: Optional[str] = None\n")
        script = str(ROOT / ".ci" / "check_torch.py")

        done = subprocess.run(
            [sys.executable, script, kind],
            env={"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == status
        assert ("set TORCH_INDEX in .env" in done.stdout) == (status == 1)

    def test_the_web_server_is_started_as_compose_starts_it(self):
        command = re.search(r"^CMD \[(.*)\]$", self.IMAGE, re.M)[1].replace('"', "").split(", ")
        web = [word for part in COMPOSE["compose.yaml"]["services"]["web"]["command"] for word in part.split("=")]

        assert command == web


class TestProxy:
    """nginx as docs/operations.md has it, beside what the web server takes."""

    SAID = dict(re.findall(r"^ +(\w+) (.+?);", OPERATIONS.split("```nginx")[1].split("```")[0], re.M))
    LARGE = {"k": 1 << 10, "m": 1 << 20}

    def size(self, name):
        text = self.SAID[name].split()[-1]
        return int(text[:-1]) * self.LARGE[text[-1]]

    def test_it_lets_the_largest_upload_through_with_its_form_and_headers(self):
        default = int(re.search(r'"UPLOAD_LIMIT_BYTES", ([\d_]+)\)', SETTINGS)[1])

        assert self.size("client_max_body_size") >= default + (1 << 20)
        assert self.size("large_client_header_buffers") >= web_config.limit_request_field_size
        assert (self.SAID["proxy_request_buffering"], self.SAID["proxy_http_version"]) == ("off", "1.1")

    def test_it_says_all_that_settings_believe_of_a_proxy(self):
        told = set(re.findall(r"proxy_set_header (\S+ \S+);", OPERATIONS))

        assert told == {"Host $host", "X-Forwarded-Proto $scheme", "X-Forwarded-For $proxy_add_x_forwarded_for"}


def test_the_broker_that_is_documented_waits_as_long_as_that_of_compose():
    composed = COMPOSE["compose.yaml"]["services"]["rabbitmq"]["environment"]["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]

    assert re.search(r"`consumer_timeout = (\d+)`", OPERATIONS)[1] == re.search(r"consumer_timeout (\d+)", composed)[1]
