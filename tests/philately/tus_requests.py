"""tus requests through Django's test client, as a programme with an API key makes them."""

import base64
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings as project_settings
from django.core.files.storage import default_storage
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from driving import first_texts, zipped

from philately.domain.keys import make_key
from philately.models import Batch, User

PART = "application/offset+octet-stream"
TOLD = {"filename": "batch.zip", "method": "substitution", "consent": "yes"}
DATA = zipped(first_texts())


def encoded(told: dict[str, str]) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in told.items())


def checksum(algorithm: str, data: bytes) -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


@dataclass
class Programme:
    """Speaks tus in a user's name."""

    user: User
    slug: str
    headers: dict[str, str] = field(default_factory=dict)
    client: Client = field(default_factory=lambda: Client(enforce_csrf_checks=True))

    def __post_init__(self) -> None:
        key = make_key(self.user, "a test")
        self.headers = {"Authorization": f"Bearer {key}", "Tus-Resumable": "1.0.0", **self.headers}

    def ask(self, method: str, path: str, data: bytes = b"", *, kind: str = PART, **headers: str) -> HttpResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        headers = {"Content-Type": kind, **self.headers, **named}  # generic sends none with an empty body
        return self.client.generic(method, path, data, content_type=kind, headers=headers)

    def create(self, length: int, data: bytes = b"", **changes: Any) -> HttpResponse:
        told = {key: value for key, value in {**TOLD, **changes}.items() if value is not None}
        address = reverse("tus-uploads", args=[self.slug])
        return self.ask("POST", address, data, Upload_Length=str(length), Upload_Metadata=encoded(told))

    def begin(self, length: int, **changes: Any) -> str:
        """The new upload's path."""
        answer = self.create(length, **changes)
        assert answer.status_code == 201, answer.content
        return answer["Location"].removeprefix("http://testserver")

    def patch(self, path: str, offset: int, data: bytes, **headers: str) -> HttpResponse:
        return self.ask("PATCH", path, data, Upload_Offset=str(offset), **headers)

    def head(self, path: str) -> HttpResponse:
        return self.ask("HEAD", path)

    def send(self, data: bytes, **changes: Any) -> HttpResponse:
        return self.patch(self.begin(len(data), **changes), 0, data)


def staged() -> list[str]:
    """Names of the files in which uploads grow."""
    folder = Path(project_settings.STAGING_DIR)
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def stored_bytes(batch: Batch) -> bytes:
    with default_storage.open(batch.stored_as) as stream:
        return stream.read()
