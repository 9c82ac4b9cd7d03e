"""A batch's shards while they are being made: text and index in storage, and last the list that says they are whole.

Nothing in the database knows of them until they are released.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, field

from django.conf import settings

from philately.domain import files
from philately.models import Batch
from validation.uploads import Found

_SHARD_BYTES = 32 << 20  # a shard is closed early when its text grows beyond this


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate on its way into the database. offset and length: bytes in its shard's text."""

    file: str
    block: str
    line: int
    format: str
    offset: int
    length: int
    reason: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A shard in storage: its number within the batch, and the SHA-256 of its two files."""

    number: int
    sha256: str
    index_sha256: str


class ChangedShard(Exception):
    """A shard that was released already came out otherwise when its batch was read again."""


@dataclass(slots=True)
class Shelf:
    """Takes structures and stores them shard by shard, so that one shard's text is in memory at a time."""

    batch: Batch
    released: dict[int, str]  # SHA-256 by number, of shards that must not change any more
    stored: list[Stored] = field(default_factory=list)
    text: bytearray = field(default_factory=bytearray)
    rows: list[Row] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return len(self.rows) >= settings.SHARD_SIZE or len(self.text) > _SHARD_BYTES

    def add(self, found: Found) -> None:
        offset = len(self.text)
        if found.block is not None:
            self.text += found.block.text.encode(errors="replace")
        self.rows.append(_row(found, offset, len(self.text) - offset))

    def close(self) -> None:
        """Store what was added since the last time."""
        number = len(self.stored)
        packed = files.pack(bytes(self.text))
        sha256 = files.sha256_of_bytes(packed)
        if self.released.get(number, sha256) != sha256:
            raise ChangedShard(f"shard {number} of {self.batch} was released with another text")
        if number not in self.released:
            files.put_bytes(files.shard_name(self.batch.pk, number, sha256), packed)
        index = files.pack("\n".join(json.dumps(astuple(row)) for row in self.rows).encode())
        index_sha256 = files.sha256_of_bytes(index)
        files.put_bytes(files.index_name(self.batch.pk, number, index_sha256), index)
        self.stored.append(Stored(number, sha256, index_sha256))
        self.text, self.rows = bytearray(), []


def _row(found: Found, offset: int, length: int) -> Row:
    block, problem = found.block, found.problem
    return Row(
        file=files.storable(found.file)[-255:],
        block=files.storable(block.name)[:255] if block else "",
        line=block.line if block else 1,
        format=block.format if block else "cif",
        offset=offset,
        length=length,
        reason=problem.reason if problem else "",
        sentence=files.storable(problem.detail) if problem else "",
    )


def write_list(batch: Batch, stored: Sequence[Stored]) -> None:
    """Say that these are all the batch's shards. The list carries its checksum, as what it lists does."""
    body = json.dumps({"upload": batch.sha256, "shards": [asdict(shard) for shard in stored]}).encode()
    files.put_bytes(files.list_name(batch.pk), files.sha256_of_bytes(body).encode() + b"\n" + body)


def read_list(batch: Batch, released: dict[int, str]) -> list[Stored] | None:
    """None where the shards are not known to be whole, or are of another batch, which had this number before an older
    database was restored. Raises ChangedShard where they go on otherwise than those that were released: a worker that
    had been asleep has written them, by another SHARD_SIZE."""
    written = files.read_if_there(files.list_name(batch.pk))
    sha256, _, body = (written or b"").partition(b"\n")
    if sha256.decode("ascii", "replace") != files.sha256_of_bytes(body):
        return None
    listed = json.loads(body)
    if not isinstance(listed, dict) or listed["upload"] != batch.sha256:
        return None
    stored = [Stored(**shard) for shard in listed["shards"]]
    if released.items() - {(shard.number, shard.sha256) for shard in stored}:
        forget_list(batch)
        raise ChangedShard(f"the list of shards of {batch} is not of those that were released; it is made again")
    return stored


def forget_list(batch: Batch) -> None:
    files.delete(files.list_name(batch.pk))


def read_index(batch: Batch, shard: Stored) -> Iterator[Row]:
    """What the shard's candidates are, in order. Raises DamagedShard."""
    name = files.index_name(batch.pk, shard.number, shard.index_sha256)
    index = files.read_checked(name, shard.index_sha256)
    return (Row(*json.loads(line)) for line in index.split(b"\n"))
