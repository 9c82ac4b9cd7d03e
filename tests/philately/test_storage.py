"""What the platform asks of a storage, held to a folder and to a server that speaks S3 alike."""

import errno
import io
import resource
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from buckets import bucket_url, endpoint, use
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from philately.storage import StorageFault, storage
from philately.storage.address import BadAddress, storage_of
from philately.storage.s3 import S3Store

PIECE = bytes(range(256)) * 4096  # 1 MiB
LARGE = PIECE * 18  # more than one part, more than one read


@pytest.fixture(params=["folder", "bucket"])
def store(request, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "files"
    if request.param == "bucket":
        use(settings, bucket_url())
        default_storage.make_bucket()
    return storage()


@pytest.fixture
def bucket(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "files"
    use(settings, bucket_url())
    default_storage.make_bucket()
    return storage()


def content_of(store, name):
    with store.open(name) as file:
        return file.read()


class TestBoth:
    @pytest.mark.parametrize("data", [b"", b"short", LARGE], ids=["empty", "short", "large"])
    def test_what_was_put_is_there_whole(self, store, data):
        store.put("uploads/ab/abc", io.BytesIO(data))

        assert content_of(store, "uploads/ab/abc") == data
        assert store.size("uploads/ab/abc") == len(data)
        assert store.exists("uploads/ab/abc")

    def test_a_file_takes_the_place_of_another_under_the_very_name(self, store):
        store.put("shards/1/list.json", io.BytesIO(b"first, and longer"))
        store.put("shards/1/list.json", io.BytesIO(b"second"))

        assert content_of(store, "shards/1/list.json") == b"second"
        assert store.names_below("shards") == ["shards/1/list.json"]

    def test_it_is_stored_from_its_beginning_and_left_open(self, store):
        file = io.BytesIO(b"all of it")
        file.seek(5)
        store.put("one", file)

        assert content_of(store, "one") == b"all of it"
        assert not file.closed

    def test_pieces_are_read_wherever_they_are(self, store):
        store.put("table.parquet", io.BytesIO(LARGE))

        with store.open("table.parquet") as file:
            assert file.seek(-7, io.SEEK_END) == len(LARGE) - 7
            assert file.read(100) == LARGE[-7:]
            assert file.read(1) == b""
            file.seek(5_000_001)
            assert (file.read(3), file.tell()) == (LARGE[5_000_001:5_000_004], 5_000_004)
            file.seek(0)
            assert b"".join(iter(lambda: file.read(1 << 20), b"")) == LARGE

    def test_what_is_not_there_is_not_found(self, store):
        with pytest.raises(FileNotFoundError):
            store.open("nothing")
        with pytest.raises(FileNotFoundError):
            store.size("nothing")
        assert not store.exists("nothing")
        store.delete("nothing")
        store.delete_below("nothing")
        assert store.names_below("nothing") == []

    def test_a_folder_goes_with_all_that_is_in_it_and_no_other(self, store):
        for name in ("shards/1/0.gz", "shards/1/deeper/1.gz", "shards/10/0.gz"):
            store.put(name, io.BytesIO(b"x"))

        assert store.names_below("shards/1") == ["shards/1/0.gz", "shards/1/deeper/1.gz"]
        store.delete_below("shards/1")

        assert store.names_below("shards") == ["shards/10/0.gz"]

    def test_while_a_file_takes_another_s_place_readers_see_the_one_or_the_other_whole(self, store):
        versions = [bytes([number]) * (1 << 20) for number in range(6)]
        store.put("pointer", io.BytesIO(versions[0]))
        seen, ended = [], threading.Event()

        def read():
            while not ended.is_set():
                try:
                    seen.append(content_of(store, "pointer"))
                except StorageFault:  # it was replaced between two of its pieces, which is said and not glossed over
                    continue

        reader = threading.Thread(target=read)
        reader.start()
        for version in versions[1:]:
            store.put("pointer", io.BytesIO(version))
        ended.set()
        reader.join()

        assert all(one in versions for one in seen)

    def test_a_source_that_fails_in_the_middle_leaves_what_was_there(self, store):
        class Failing(io.BytesIO):
            def read(self, count=-1):
                if self.tell() > 10 << 20:
                    raise OSError(errno.EIO, "the disk of the sender")
                return super().read(count)

        store.put("one", io.BytesIO(b"before"))
        with pytest.raises(OSError, match="sender"):
            store.put("one", Failing(LARGE))

        assert content_of(store, "one") == b"before"
        assert store.names_below("") == ["one"]
        assert store.remove_unfinished(older_than_s=-60) == 0

    def test_many_writers_of_one_name_leave_one_of_them_whole(self, store):
        versions = [bytes([number]) * 100_000 for number in range(4)]
        threads = [threading.Thread(target=store.put, args=("one", io.BytesIO(version))) for version in versions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert content_of(store, "one") in versions

    def test_what_a_process_left_unfinished_is_removed_when_it_is_old(self, store, tmp_path):
        if hasattr(store, "bucket_name"):
            boto_client().create_multipart_upload(Bucket=store.bucket_name, Key="platform/files/half")
        else:
            (tmp_path / "files" / ".incoming").mkdir(parents=True)
            (tmp_path / "files" / ".incoming" / "half").write_bytes(b"half")

        assert store.remove_unfinished(older_than_s=1e9) == 0
        assert store.remove_unfinished(older_than_s=-60) == 1
        assert store.remove_unfinished(older_than_s=-60) == 0

    def test_the_check_of_an_administrator_finds_nothing_wrong_and_leaves_nothing(self, store, capsys):
        call_command("check_storage")

        assert "as it should" in capsys.readouterr().out
        assert store.names_below("") == []


def boto_client():
    names = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=endpoint(), **names)


class TestBucket:
    def test_everything_lies_below_the_prefix(self, bucket):
        bucket.put("uploads/a", io.BytesIO(b"x"))

        keys = [one["Key"] for one in boto_client().list_objects_v2(Bucket=bucket.bucket_name)["Contents"]]
        assert keys == ["platform/files/uploads/a"]

    def test_an_object_that_was_replaced_while_it_was_read_is_our_fault(self, bucket):
        bucket.put("one", io.BytesIO(LARGE))
        with bucket.open("one") as file:
            file.read(10)
            bucket.put("one", io.BytesIO(LARGE[::-1]))
            file.seek(9 << 20)
            with pytest.raises(StorageFault, match="PreconditionFailed"):
                file.read(10)

    def test_more_objects_than_come_at_a_time_are_listed_and_removed(self, bucket, monkeypatch):
        monkeypatch.setattr(S3Store, "listed_at_a_time", 10)
        names = [f"many/{number:02}" for number in range(23)]
        for name in names:
            bucket.put(name, io.BytesIO())

        assert bucket.names_below("many") == names
        bucket.delete_below("many")
        assert bucket.names_below("many") == []

    def test_a_bucket_that_is_not_there_is_our_fault_and_can_be_made(self, settings, capsys):
        use(settings, bucket_url())

        with pytest.raises(StorageFault, match="NoSuchBucket"):
            storage().put("one", io.BytesIO(b"x"))
        with pytest.raises(CommandError, match="NoSuchBucket"):
            call_command("check_storage")
        call_command("check_storage", "--create")
        call_command("check_storage", "--create")

        assert "the bucket was made" in capsys.readouterr().out

    def test_a_server_that_is_away_is_our_fault_and_its_message_tells_no_secret(self, settings):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # nobody listens there
            use(settings, f"s3://key:hidden-secret@bucket?endpoint_url=http://127.0.0.1:{taken.getsockname()[1]}")
            for deed in (
                lambda: storage().put("one", io.BytesIO(b"x")),
                lambda: storage().open("one"),
                lambda: storage().exists("one"),
                lambda: storage().names_below(""),
            ):
                with pytest.raises(StorageFault) as raised:
                    deed()
                assert "hidden-secret" not in str(raised.value)
                assert not isinstance(raised.value, FileNotFoundError)


class TestFolder:
    def test_a_disk_that_takes_no_more_is_our_fault_and_what_was_there_stays(self, settings, tmp_path):
        settings.MEDIA_ROOT = tmp_path / "files"
        storage().put("one", io.BytesIO(b"before"))

        with no_file_beyond(1_000_000), pytest.raises(StorageFault) as raised:
            storage().put("one", io.BytesIO(LARGE))

        assert raised.value.errno == errno.EFBIG
        assert content_of(storage(), "one") == b"before"
        assert list((tmp_path / "files" / ".incoming").iterdir()) == []

    def test_what_is_being_written_is_not_listed(self, settings, tmp_path):
        settings.MEDIA_ROOT = tmp_path / "files"
        storage().put("one", io.BytesIO(b"x"))
        (tmp_path / "files" / ".incoming" / "other").write_bytes(b"half")

        assert storage().names_below("") == ["one"]

    def test_files_may_be_read_by_the_group_as_the_mask_allows(self, settings, tmp_path):
        settings.MEDIA_ROOT = tmp_path / "files"
        storage().put("one", io.BytesIO(b"x"))
        (tmp_path / "other").write_bytes(b"x")

        assert (tmp_path / "files" / "one").stat().st_mode == (tmp_path / "other").stat().st_mode


@contextmanager
def no_file_beyond(n_bytes):
    """The system lets this process write no larger file meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestAddress:
    @pytest.mark.parametrize(
        ("url", "options"),
        [
            (
                "s3://bucket",
                {"bucket_name": "bucket", "location": "", "endpoint_url": None, "addressing_style": "auto"},
            ),
            ("s3://bucket/a/b/?region=eu-north-1", {"location": "a/b", "region_name": "eu-north-1"}),
            (
                "s3://key:s%2Fe%40t@bucket/p?endpoint_url=http://storage:9000",
                {"access_key": "key", "secret_key": "s/e@t", "bucket_name": "bucket", "addressing_style": "path"},
            ),
            (
                "s3://b?endpoint_url=https%3A%2F%2Fs3.example.org&addressing_style=virtual",
                {"addressing_style": "virtual"},
            ),
        ],
    )
    def test_a_bucket_s_parts(self, url, options, tmp_path):
        entry, folder = storage_of(url, tmp_path)

        assert entry["BACKEND"] == "philately.storage.s3.S3Store"
        assert {key: entry["OPTIONS"][key] for key in options} == options
        assert folder == tmp_path

    @pytest.mark.parametrize(("url", "folder"), [("", "/default"), ("file:///srv/a%20b", "/srv/a b")])
    def test_a_folder(self, url, folder):
        entry, found = storage_of(url, Path("/default"))

        assert (entry, found) == ({"BACKEND": "philately.storage.local.LocalStore"}, Path(folder))

    @pytest.mark.parametrize(
        ("url", "sentence"),
        [
            ("http://key:hidden@bucket", "begins with s3:// or file:///"),
            ("s3://", "names a bucket"),
            ("s3://key:hidden@", "names a bucket"),
            ("s3://localhost:9000/bucket", "endpoint_url"),
            ("s3://key:hidden@bucket?acl=public", "has acl; known are"),
            ("s3://key:hidden@bucket?endpoint_url=storage", "http:// or https://"),
            ("s3://hidden@bucket", "key:secret@"),
            ("s3://key:hidden@bucket?addressing_style=any", "path or virtual"),
            ("file://host/folder", "file:///absolute/path"),
        ],
    )
    def test_what_is_none_is_refused_with_a_sentence_that_shows_no_secret(self, url, sentence):
        with pytest.raises(BadAddress, match=sentence) as raised:
            storage_of(url, Path("/default"))

        assert "hidden" not in str(raised.value)
