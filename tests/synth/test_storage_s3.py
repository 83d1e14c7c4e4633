"""Storage in buckets: conditions, parts, and every kind of trouble that a server or a network makes."""

import os
import sys
from collections.abc import Callable

import boto3
import pytest

from bench.chaos.proxy import Fault, Trouble, troubled
from jobs.plan import stored_hash
from samplers.errors import MissingPackageError, StorageError
from synth.storage import Digest, open_storage
from synth.storages.s3 import Conditions, S3Storage
from tests.conftest import SERVERS, talking_to
from tests.servers import BUCKET, Server

ANSWERS = [("moto", Conditions.ENFORCED), ("ministack", Conditions.ENFORCED), ("s3rver", Conditions.IGNORED)]
PART = 5 << 20  # the smallest that S3 allows
LARGE = os.urandom(2 * PART + 1000)


@pytest.mark.parametrize(("name", "expected"), ANSWERS)
def test_a_server_is_asked_whether_it_enforces_conditions(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, name: str, expected: Conditions
) -> None:
    storage = S3Storage(talking_to(request.getfixturevalue(name), monkeypatch))
    assert storage.conditions() is expected
    assert storage.list("") == storage.leftovers() == []


def test_leftovers_of_others_are_left(s3_url: str) -> None:
    """Where it is known in which folders ours would lie: other programs write beside a dataset, too."""
    client, place = boto3.client("s3"), s3_url.removeprefix(f"s3://{BUCKET}/")
    uploads = {}
    for name in ("shards/000001.tar", "backup.bin"):
        uploads[name] = client.create_multipart_upload(Bucket=BUCKET, Key=f"{place}/{name}")["UploadId"]
    storage = open_storage(s3_url)
    (found,) = storage.leftovers(["shards/"])
    assert found.name.startswith("shards/000001.tar (unfinished upload")
    storage.sweep(["shards/"])
    (left,) = storage.leftovers()
    assert left.name.startswith("backup.bin")
    client.abort_multipart_upload(Bucket=BUCKET, Key=f"{place}/backup.bin", UploadId=uploads["backup.bin"])


def test_how_often_is_a_number(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "x")
    with pytest.raises(StorageError, match="AWS_MAX_ATTEMPTS is x: how often is a whole number from 1 on"):
        open_storage(s3_url).exists("a")


def test_a_bucket_that_is_not_there_holds_no_plan_and_says_why(s3_url: str) -> None:
    with pytest.raises(StorageError, match="there is no such bucket"):
        stored_hash(open_storage("s3://no-such-bucket/faces"))


def test_a_server_is_asked_once(moto: Server, s3_url: str) -> None:
    storage, before = S3Storage(s3_url), len(moto.asked)
    for _ in range(3):
        storage.create("a", b"one")
    probes = [request for request in moto.asked[before:] if ".probe-" in request]
    assert [request.split()[0] for request in probes] == ["PUT", "PUT", "DELETE"]


@pytest.mark.parametrize("name", SERVERS)
def test_large_objects_go_in_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    storage = S3Storage(talking_to(request.getfixturevalue(name), monkeypatch), part_bytes=PART)
    assert storage.create("large", LARGE)
    assert storage.create("large", LARGE)
    assert not storage.create("large", LARGE[:-1])
    assert storage.read("large") == LARGE
    assert storage.digest("large") == Digest.of(LARGE)
    assert storage.leftovers() == []


def test_unfinished_uploads_and_probes_are_listed_and_swept(s3_url: str) -> None:
    storage = S3Storage(s3_url)
    storage.create("kept", b"one")
    key = s3_url.removeprefix(f"s3://{BUCKET}/")
    boto3.client("s3").create_multipart_upload(Bucket=BUCKET, Key=f"{key}/half")
    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"{key}/.probe-1", Body=b"")
    boto3.client("s3").create_multipart_upload(Bucket=BUCKET, Key=f"{key}-of-others/half")
    found = [stored.name for stored in storage.leftovers()]
    assert found[0] == ".probe-1"
    assert found[1].startswith("half (unfinished upload ")
    assert len(found) == 2
    storage.sweep()
    assert storage.leftovers() == []
    assert [stored.name for stored in storage.list("")] == ["kept"]
    assert len(S3Storage(f"{s3_url}-of-others").leftovers()) == 1


def test_an_upload_that_is_swept_away_begins_again(ministack: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = talking_to(ministack, monkeypatch)
    storage, sweeper, swept = S3Storage(url, part_bytes=PART), S3Storage(url), []
    client = storage._client
    send = client.upload_part

    def sweeping(**part: object) -> object:
        if not swept:
            swept.append(sweeper.leftovers())
            sweeper.sweep()
        return send(**part)

    monkeypatch.setattr(client, "upload_part", sweeping)
    assert storage.create("large", LARGE)
    assert len(swept[0]) == 1
    assert storage.read("large") == LARGE
    assert storage.leftovers() == []


@pytest.mark.parametrize("fault", Fault)
def test_every_kind_of_trouble_is_overcome(moto: Server, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    trouble = Trouble(seed=1, share=0.3, kinds=(fault,))
    with troubled(moto.url, trouble) as endpoint:
        storage = S3Storage(talking_to(moto, monkeypatch, endpoint), part_bytes=PART)
        for number in range(4):
            data = bytes([number]) * 70_000
            assert storage.create(f"a/{number}", data)
            assert storage.create(f"a/{number}", data)
            assert not storage.create(f"a/{number}", b"other")
            assert storage.read(f"a/{number}") == data
            assert storage.read_range(f"a/{number}", 60_000, 10_000) == data[:10_000]
        storage.replace("a/0", b"new")
        assert storage.digest("a/0") == Digest.of(b"new")
        storage.delete("a/1")
        assert [stored.name for stored in storage.list("a/")] == ["a/0", "a/2", "a/3"]
    assert sum(trouble.happened.values()) >= 5


def test_large_objects_get_through_all_kinds_of_trouble(moto: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = Trouble(seed=3, share=0.3)
    with troubled(moto.url, trouble) as endpoint:
        storage = S3Storage(talking_to(moto, monkeypatch, endpoint), part_bytes=PART)
        for number in range(3):
            assert storage.create(f"large-{number}", LARGE[number:])
            assert storage.read(f"large-{number}") == LARGE[number:]
    assert len(trouble.happened) >= 4


def test_an_answer_that_is_lost_is_not_taken_for_another_writer(moto: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first try was stored; the second is refused, since the name is taken: by this very write."""
    trouble = Trouble(seed=1, share=0.6, kinds=(Fault.LOST,))
    with troubled(moto.url, trouble) as endpoint:
        storage = S3Storage(talking_to(moto, monkeypatch, endpoint))
        assert all(storage.create(f"a/{number}", b"data") for number in range(8))
    assert trouble.happened[Fault.LOST] >= 8


def test_a_server_that_only_makes_trouble_is_given_up_in_one_line(
    moto: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    for fault, said in (
        (Fault.SLOW_DOWN, r"SlowDown"),
        (Fault.ERROR, r"InternalError"),
        (Fault.DROP, r"Connection was closed|Could not connect"),
    ):
        with troubled(moto.url, Trouble(seed=1, share=1.0, kinds=(fault,))) as endpoint:
            storage = S3Storage(talking_to(moto, monkeypatch, endpoint))
            with pytest.raises(StorageError, match=rf"^cannot read {storage.url}/a: .*({said})[^\n]*$"):
                storage.read("a")


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda: open_storage("s3://no-such-bucket/a").list(""),
            "cannot list s3://no-such-bucket/a: there is no",
        ),
        (lambda: open_storage("s3://no-such-bucket/a").replace("b", b""), "a/b: there is no such bucket"),
        (lambda: open_storage("s3:///a"), "'s3:///a' names no bucket: write s3://bucket/prefix"),
        (lambda: open_storage("s3://bucket/../a"), "is not a name inside s3://bucket/../a"),
        (lambda: open_storage("s3://Not_A_Bucket!/x").list(""), "cannot list s3://Not_A_Bucket!/x"),
    ],
)
def test_places_that_are_not_there_are_said_in_one_line(s3_url: str, use: Callable[[], object], message: str) -> None:
    with pytest.raises(StorageError, match=message) as refused:
        use()
    assert "\n" not in str(refused.value)


def test_credentials_stand_in_no_url_and_in_no_message(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="holds no credentials: give them as for boto3") as refused:
        open_storage("s3://key:hidden@bucket/a")
    assert "hidden" not in str(refused.value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://name:hidden@127.0.0.1:9")
    with pytest.raises(StorageError) as refused:
        open_storage("s3://bucket/a").read("b")
    assert "hidden" not in str(refused.value)


def test_missing_credentials_are_said_with_what_to_do(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StorageError, match=r"/b: no credentials were found: set them as for boto3"):
        open_storage(s3_url).read("b")


def test_without_boto3_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(
        MissingPackageError, match=r"^s3://bucket/a: s3:// needs boto3: pip install 'hypersynth\[s3\]'$"
    ):
        open_storage("s3://bucket/a")
