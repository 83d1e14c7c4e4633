"""Files from elsewhere: fetched once, whole, shared by processes, and refused in one line."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from samplers.errors import DatasetError, HypersynthError, MissingPackageError, StorageError
from synth.files import cache_folder, file_sha256, local_copy, open_file
from synth.section import InputFile
from tests.conftest import talking_to
from tests.servers import moto

DATA = bytes(range(256)) * 4096  # 1 MiB
REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Bucket:
    """The bucket `bucket` on a real server, and what it was asked for."""

    asked: list[str]  # method and path of each request

    def put(self, key: str, data: bytes) -> None:
        boto3.client("s3").put_object(Bucket="bucket", Key=key, Body=data)

    def downloads(self) -> int:
        return sum(request.startswith("GET ") for request in self.asked)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with moto() as server:
        talking_to(server, monkeypatch)
        monkeypatch.setenv("HYPERSYNTH_CACHE", str(tmp_path / "cache"))
        yield Bucket(server.asked)


def in_a_process(code: str, **environment: str) -> "subprocess.Popen[str]":
    """Python code in a process of its own, printing what it finds."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=Path(__file__).parent.parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refusal(url: str, kind: type[HypersynthError] = StorageError) -> str:
    with pytest.raises(kind) as refused:
        local_copy(url)
    said = str(refused.value)
    assert "\n" not in said
    return said


def test_an_object_is_fetched_whole_under_its_own_name(bucket: Bucket) -> None:
    bucket.put("models/r100.safetensors", DATA)
    path = local_copy("s3://bucket/models/r100.safetensors")
    assert path.name == "r100.safetensors"
    assert path.is_relative_to(cache_folder())
    assert path.read_bytes() == DATA
    assert open_file("s3://bucket/models/r100.safetensors") == ("r100.safetensors", DATA)


def test_an_object_is_fetched_once(bucket: Bucket) -> None:
    bucket.put("model", DATA)
    paths = {local_copy("s3://bucket/model") for _ in range(3)}
    assert len(paths) == 1
    assert bucket.downloads() == 1


def test_a_large_object_arrives_whole(bucket: Bucket) -> None:
    """Large ones come in parts, several at once."""
    large = DATA * 20
    bucket.put("large", large)
    assert file_sha256(local_copy("s3://bucket/large")) == hashlib.sha256(large).hexdigest()


def test_processes_share_one_copy(bucket: Bucket) -> None:
    bucket.put("model", DATA)
    code = "from synth.files import local_copy; print(local_copy('s3://bucket/model'))"
    ended = [process.communicate() for process in [in_a_process(code) for _ in range(3)]]
    assert len({out for out, _ in ended}) == 1, ended
    assert Path(ended[0][0].strip()).read_bytes() == DATA
    assert bucket.downloads() == 1


def test_an_object_that_was_replaced_is_fetched_again(bucket: Bucket) -> None:
    for data in (b"old", b"new"):
        bucket.put("model", data)
        assert local_copy("s3://bucket/model").read_bytes() == data


def test_what_a_killed_fetch_left_is_not_taken_for_the_file(bucket: Bucket) -> None:
    bucket.put("model", DATA)
    whole = local_copy("s3://bucket/model")
    whole.rename(whole.parent.with_suffix(".partial"))
    whole.parent.with_suffix(".partial").write_bytes(DATA[:1000])
    assert local_copy("s3://bucket/model").read_bytes() == DATA


@pytest.mark.parametrize("key", [".lock", ".partial", "a b/ä?%41&c"])
def test_a_key_with_any_name_gives_its_own_bytes(bucket: Bucket, key: str) -> None:
    bucket.put(key, b"bytes")
    assert local_copy(f"s3://bucket/{key}").read_bytes() == b"bytes"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/absent", "cannot fetch s3://bucket/absent: it is not there"),
        ("s3://nowhere/model", "cannot fetch s3://nowhere/model: it is not there"),
        ("s3://bucket", "'s3://bucket' names a bucket, not a file"),
        ("s3://bucket/folder/", "'s3://bucket/folder/' names a folder, not a file"),
        ("s3://bucket/folder/..", "'s3://bucket/folder/..' names a folder, not a file"),
        ("s3://", "'s3://' names a folder, not a file"),
        ("s3://Not_A_Bucket!/x", "cannot fetch s3://Not_A_Bucket!/x: "),
        ("https://example.org/model", "files are read from paths, s3://, hf:// and builtin://, not from https://"),
    ],
)
def test_what_cannot_be_fetched_is_told_in_a_line(bucket: Bucket, url: str, said: str) -> None:
    assert said in refusal(url)
    assert not any(path.is_file() for path in cache_folder().rglob("*"))


@pytest.mark.parametrize(
    ("endpoint", "said"), [("http://127.0.0.1:9", "Could not connect"), ("not a url", "Invalid endpoint")]
)
def test_a_store_that_does_not_answer_is_told_in_a_line(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, endpoint: str, said: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert said in refusal("s3://bucket/model")


def test_a_cache_that_cannot_be_written_is_told_with_its_place(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HYPERSYNTH_CACHE", str(tmp_path / "file"))
    bucket.put("model", DATA)
    assert f"the cache at {tmp_path}/file" in refusal("s3://bucket/model")


def test_an_object_must_have_the_sha256_that_a_recipe_names(bucket: Bucket) -> None:
    bucket.put("model", DATA)
    right = hashlib.sha256(DATA).hexdigest()
    assert InputFile(url="s3://bucket/model").pinned().sha256 == right
    assert InputFile(url="s3://bucket/model", sha256=right).fetch().read_bytes() == DATA
    wrong = InputFile(url="s3://bucket/model", sha256="0" * 64)
    for read in (wrong.fetch, wrong.read):
        with pytest.raises(DatasetError, match=r"^s3://bucket/model does not have the sha256 that the recipe names: "):
            read()


@pytest.mark.parametrize(
    ("package", "url", "line"),
    [
        ("boto3", "s3://bucket/model", "pip install 'hypersynth[s3]'"),
        ("huggingface_hub", "hf://o/r/model", "pip install 'hypersynth[models]'"),
    ],
)
def test_a_missing_package_is_told_with_its_install_line(
    monkeypatch: pytest.MonkeyPatch, package: str, url: str, line: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert line in refusal(url, MissingPackageError)


def lay_out_hub_cache(folder: Path, name: str, data: bytes) -> None:
    """A cached file of repository o/r, as huggingface_hub lays it out: blobs by digest, snapshots of links, refs."""
    repository = folder / "models--o--r"
    blob = repository / "blobs" / hashlib.sha256(data).hexdigest()
    link = repository / "snapshots" / REVISION / name
    for path in (blob, link, repository / "refs" / "main"):
        path.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    link.symlink_to(os.path.relpath(blob, link.parent))
    (repository / "refs" / "main").write_text(REVISION)


def test_a_file_of_the_hub_is_taken_from_its_cache_and_told_when_it_is_not_there(tmp_path: Path) -> None:
    """In a process of its own: the hub's library reads its settings when it is imported."""
    lay_out_hub_cache(tmp_path, "weights/model.safetensors", DATA)
    code = f"""
from samplers.errors import StorageError
from synth.files import local_copy
for url in ("hf://o/r/weights/model.safetensors", "hf://o/r@{REVISION}/weights/model.safetensors"):
    path = local_copy(url)
    print(path.name, path.read_bytes() == bytes(range(256)) * 4096)
for url in ("hf://o/r/weights/absent", "hf://o/r@v2/weights/model.safetensors", "hf://o/r@/a", "hf://-/--/x"):
    try:
        print(local_copy(url))
    except StorageError as refusal:
        print(refusal)
"""
    process = in_a_process(code, HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(tmp_path))
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == ["model.safetensors True"] * 2
    assert len(lines) == 6
    assert all(line.startswith("cannot fetch hf://") for line in lines[2:])


def test_without_a_way_to_the_hub_its_cache_is_used_and_the_rest_told_in_a_line_at_once(tmp_path: Path) -> None:
    lay_out_hub_cache(tmp_path, "model.safetensors", DATA)
    code = """
from samplers.errors import StorageError
from synth.files import local_copy
print(local_copy("hf://o/r/model.safetensors").name)
try:
    local_copy("hf://o/r/absent")
except StorageError as refusal:
    print(refusal)
"""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "")
    process = in_a_process(code, HF_ENDPOINT="http://hub.invalid", HF_HUB_CACHE=str(tmp_path), **nowhere)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    why = "hub.invalid cannot be reached from here, and the hub's cache does not have this file"
    assert out.splitlines() == ["model.safetensors", f"cannot fetch hf://o/r/absent: {why}"]


@pytest.mark.parametrize("url", ["hf://model", "hf://owner/model", "hf://owner//model"])
def test_an_address_that_is_no_file_of_the_hub_is_told(url: str) -> None:
    assert refusal(url) == f"{url!r} is no file on the hub: write hf://owner/repository/file"


def test_files_of_folders_are_read_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(DATA)
    for url in (f"{tmp_path}/model", f"file://{tmp_path}/model"):
        assert local_copy(url) == tmp_path / "model"
        assert open_file(url) == ("model", DATA)
    assert "No such file" in refusal(f"{tmp_path}/absent")
    assert "it is a folder" in refusal(f"file://{tmp_path}")
    assert "names a folder" in refusal(f"{tmp_path}/")
