"""What every answer carries, how settings refuse what is unsafe, and that nothing that was uploaded is ever run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from driving import first_texts, run_all, submit

from philately.domain.dumps import offer
from philately.pages.csv_lines import inert

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def judged(season, participant):
    batch = submit(participant, first_texts())
    run_all(season)
    season.refresh_from_db()
    offer(season)
    return batch


def test_every_answer_carries_the_headers(client, season, participant, judged):
    client.force_login(participant.user)
    addresses = ["/", "/healthz", "/nowhere/", reverse("batch-csv", args=[judged.pk]), reverse("keys")]
    addresses += [
        reverse("dump-file", args=[season.slug, "phases.parquet"]),
        reverse("tus-uploads", args=[season.slug]),
    ]
    for address in addresses:
        headers = client.get(address).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "script-src 'self'" in policy and "style-src 'self'" in policy
        assert "unsafe" not in policy and "object-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "geolocation=()" in headers["Permissions-Policy"]
        assert re.search("no-store|no-cache", headers["Cache-Control"]), address


def test_what_is_somebodys_stays_in_no_cache(client, participant, judged):
    assert client.get("/").headers["Cache-Control"] == "private, no-cache"
    client.force_login(participant.user)
    for address in ("/", reverse("batches"), reverse("batch-csv", args=[judged.pk])):
        assert "no-store" in client.get(address).headers["Cache-Control"]


def test_downloads_are_named_by_us_and_of_a_fixed_type(client, season, participant, judged):
    client.force_login(participant.user)
    table = client.get(reverse("batch-csv", args=[judged.pk]))
    dump = client.get(reverse("dump-file", args=[season.slug, "SHA256SUMS"]))

    assert table["Content-Disposition"] == f'attachment; filename="batch-{judged.pk}.csv"'
    assert table["Content-Type"] == "text/csv; charset=utf-8"
    assert dump["Content-Disposition"] == f'attachment; filename="{season.slug}-SHA256SUMS"'
    assert dump["Content-Type"] == "text/plain"


def test_what_a_sender_wrote_is_text_on_every_page(client, season, participant):
    evil = "<script>alert(1)</script>"
    batch = submit(participant, {f"{evil}.cif": f"{evil} is no CIF"}, method=evil, name=f"{evil}.zip")
    run_all(season)
    client.force_login(participant.user)
    pages = [reverse("batches"), reverse("batch", args=[batch.pk]), reverse("batch-live", args=[batch.pk])]
    pages += [reverse("candidate", args=[batch.candidates.get().pk]), reverse("season", args=[season.slug])]
    for page in pages:
        assert evil not in client.get(page).content.decode(), page


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\n=x"])
def test_no_cell_is_a_formula(text):
    assert inert(text) == f"'{text}"


def test_a_host_that_is_not_ours_is_refused_without_a_word(client, db):
    answer = client.get("/", headers={"host": "elsewhere.example"})

    assert answer.status_code == 400
    assert "elsewhere" not in answer.content.decode()


def test_a_fault_of_ours_tells_no_detail(client, db, monkeypatch):
    monkeypatch.setattr("philately.queries.seasons_with_counts", lambda: {}["a detail"])
    client.raise_request_exception = False

    text = client.get("/").content.decode()

    assert "a detail" not in text and "KeyError" not in text and "Traceback" not in text


def test_cookies_are_for_this_site_and_no_script(client, db):
    given = {"username": "ann", "password1": "a-long-enough-one", "password2": "a-long-enough-one"}
    client.post(reverse("signup"), given)
    client.get(reverse("keys"))

    for name in ("sessionid", "csrftoken", "known"):
        cookie = client.cookies[name]
        assert (cookie["samesite"], cookie["httponly"], cookie["domain"]) == ("Lax", True, "")


DANGEROUS = re.compile(
    r"\bpickle\b|\bcloudpickle\b|\byaml\.(unsafe_)?load\b|(?<![.\w])(eval|exec)\(|shell=True|mark_safe"
)
ALLOWED = {"hull/snapshot.py": "allow_pickle=False", "philately/service/json_cache.py": "would take pickles"}


def test_nothing_is_unpickled_evaluated_or_run_by_a_shell():
    found = []
    for folder in ("hull", "validation", "philately"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            for line in path.read_text().splitlines():
                if DANGEROUS.search(line) and ALLOWED.get(name, "\0") not in line:
                    found.append(f"{name}: {line.strip()}")

    assert not found


def test_no_template_takes_what_somebody_wrote_for_html():
    found = []
    for path in sorted((ROOT / "templates").rglob("*.html")):
        text = path.read_text()
        found += [f"{path.name}: {tag}" for tag in re.findall(r"\{\{[^}]*\|safe[^a-z][^}]*\}\}|autoescape off", text)]

    assert found == ["field.html: {{ field.help_text|safe }}"]  # Django's own list of what makes a good password


class TestSettings:
    def started(self, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {key: value for key, value in os.environ.items() if key not in ("HTTPS", "DEBUG", "ALLOWED_HOSTS")}
        code = (
            "from philately import settings as s; print(s.STAFF_SECOND_FACTOR, getattr(s, 'SESSION_COOKIE_NAME', ''), "
            "s.CSRF_COOKIE_SECURE, s.SECURE_SSL_REDIRECT)"
        )
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**inherited, **environment},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    def test_production_requires_the_second_factor_and_secure_cookies(self):
        done = self.started(HTTPS="1", ALLOWED_HOSTS="example.org", SECRET_KEY="of-the-one-who-runs-it-" * 3)

        assert done.stdout.split() == ["True", "__Host-sessionid", "True", "True"], done.stderr

    def test_it_cannot_be_switched_off_there(self):
        done = self.started(HTTPS="1", STAFF_SECOND_FACTOR="0")

        assert done.returncode != 0
        assert "with HTTPS=1 staff need a second factor" in done.stderr

    def test_on_one_machine_it_is_off_unless_it_is_asked_for(self):
        assert self.started().stdout.split()[0] == "False"
        assert self.started(STAFF_SECOND_FACTOR="1").stdout.split()[0] == "True"


def test_a_form_that_comes_from_elsewhere_does_nothing(season, participant):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(participant.user)

    answer = strict.post(reverse("keys"), {"name": "x"}, headers={"origin": "https://elsewhere.example"})

    assert answer.status_code == 403 and not participant.user.api_keys.exists()
