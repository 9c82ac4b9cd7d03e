"""A participant at the pages, by HTTP: what a person does with a browser, for demonstrations and tests."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import requests

_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_ERROR_CLASS = r'class="[^"]*(?:errorlist|invalid-feedback|alert-danger)[^"]*"'
_ERROR = re.compile(rf"<[^>]*{_ERROR_CLASS}[^>]*>(.*?)</(?:ul|div)>", re.S)


class PageRefused(Exception):
    """A form came back with an error, which is the message."""


@dataclass(slots=True)
class Participant:
    """One account at a running server."""

    address: str
    name: str
    password: str
    session: requests.Session = field(default_factory=requests.Session)

    def sign_up(self) -> None:
        """Make the account; the server logs it in."""
        self._post("/accounts/signup/", {"username": self.name, "password1": self.password, "password2": self.password})

    def upload(self, season: str, file: Path, *, method: str, description: str = "") -> str:
        """Submit a file through the upload page; returns the address of the batch's page."""
        with file.open("rb") as stream:
            return self._post(
                f"/seasons/{season}/upload/",
                {"method": method, "method_description": description, "consent": "on"},
                files={"file": (file.name, stream)},
            )

    def _post(self, path: str, data: dict[str, str], files: object = None) -> str:
        page = self.session.get(self.address + path, timeout=30)
        page.raise_for_status()
        token = _TOKEN.search(page.text)
        if token is None:
            raise PageRefused(f"{path} shows no form")
        answer = self.session.post(
            self.address + path,
            data={**data, "csrfmiddlewaretoken": token[1]},
            files=files,  # type: ignore[arg-type]
            headers={"Referer": self.address + path},
            timeout=120,
        )
        answer.raise_for_status()
        if not answer.history:  # a form that is accepted redirects
            errors = " ".join(re.sub(r"<[^>]+>", " ", text).strip() for text in _ERROR.findall(answer.text))
            raise PageRefused(errors or f"{path} did not accept the form")
        return answer.url
