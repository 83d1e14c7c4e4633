"""Storage in a folder: whole or absent, whoever writes and whatever the disk says."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from samplers.errors import StorageError
from synth.storage import Stored, open_storage, sha256
from synth.storages.local import LocalStorage

ESCAPES = ["../a", "a/../../b", "/etc/hypersynth", "a/.."]


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "out")


def files(folder: Path) -> list[str]:
    """All files below a folder, unfinished ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_create_stores_once_and_says_whether_the_bytes_lie_there(storage: LocalStorage) -> None:
    assert storage.create("a/b", b"one")
    assert storage.create("a/b", b"one")
    assert not storage.create("a/b", b"two")
    assert storage.read("a/b") == b"one"


def test_replace_stores_whatever_lies_there(storage: LocalStorage) -> None:
    for data in (b"one", b"two"):
        storage.replace("a/b", data)
        assert storage.read("a/b") == data


def test_objects_are_read_in_parts_found_and_deleted(storage: LocalStorage) -> None:
    storage.create("a/b", b"012345")
    assert storage.read_range("a/b", 2, 3) == b"234"
    assert storage.exists("a/b")
    assert not storage.exists("a")
    for _ in range(2):
        storage.delete("a/b")
        assert not storage.exists("a/b")


def test_nothing_but_the_objects_is_left_behind(storage: LocalStorage, tmp_path: Path) -> None:
    storage.create("a/b", b"one")
    storage.create("a/b", b"two")
    storage.replace("c", b"three")
    assert files(tmp_path) == ["out/a/b", "out/c"]
    assert [(tmp_path / "out" / name).stat().st_mode & 0o777 for name in ("a/b", "c")] == [0o644, 0o644]


RACER = """
import sys
from synth.storages.local import LocalStorage
storage = LocalStorage(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(*(int(storage.create(f"race/{n}", sys.argv[2].encode() * 100_000)) for n in range(40)))
"""


def test_of_two_processes_that_create_one_wins_each_name_with_whole_bytes(
    storage: LocalStorage, tmp_path: Path
) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path / "out"), who],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in "AB"
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [racer.communicate()[0].split() for racer in racers]
    for number, (a, b) in enumerate(zip(*won, strict=True)):
        assert {a, b} == {"0", "1"}
        assert storage.read(f"race/{number}") == (b"A" if a == "1" else b"B") * 100_000


FULL_DISK = """
import resource, signal, sys
from samplers.errors import StorageError
from synth.storages.local import LocalStorage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    getattr(LocalStorage(sys.argv[1]), sys.argv[2])(sys.argv[3], bytes(100_000))
except StorageError as refusal:
    print(refusal)
"""


@pytest.mark.parametrize(("verb", "name"), [("create", "new"), ("replace", "new"), ("replace", "old")])
def test_a_full_disk_is_said_in_one_line_and_leaves_nothing_half_written(
    storage: LocalStorage, tmp_path: Path, verb: str, name: str
) -> None:
    storage.create("old", b"old")
    folder = tmp_path / "out"
    words = [sys.executable, "-c", FULL_DISK, str(folder), verb, name]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ended.stdout == f"cannot write {folder}/{name}: File too large\n"
    assert ended.stderr == ""
    assert files(folder) == ["old"]
    assert storage.read("old") == b"old"


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"file")
    storage = LocalStorage(plain / "out")
    for write in (storage.create, storage.replace):
        with pytest.raises(StorageError, match=r"^cannot write .*/plain/out/a: Not a directory$"):
            write("a", b"data")
    assert not storage.exists("a")
    assert storage.list("") == []
    assert files(tmp_path) == ["plain"]


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize(
    "use",
    [
        lambda storage, name: storage.create(name, b""),
        lambda storage, name: storage.replace(name, b""),
        lambda storage, name: storage.read(name),
        lambda storage, name: storage.read_range(name, 0, 0),
        lambda storage, name: storage.exists(name),
        lambda storage, name: storage.list(name),
        lambda storage, name: storage.delete(name),
    ],
)
def test_names_that_escape_the_folder_are_refused(
    storage: LocalStorage, name: str, use: Callable[[LocalStorage, str], object]
) -> None:
    with pytest.raises(StorageError, match="is not a name inside"):
        use(storage, name)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda storage: storage.read("none"), "cannot read .*/none: No such file or directory"),
        (lambda storage: storage.read_range("none", 0, 1), "cannot read .*/none: No such file or directory"),
        (lambda storage: storage.read_range("six", 2, 5), "/six ends before byte 7"),
        (lambda storage: storage.read("n" * 300), "cannot read .*: File name too long"),
        (lambda storage: storage.exists("n" * 300), "cannot read .*: File name too long"),
        (lambda storage: storage.delete("folder"), "cannot delete .*/folder: Is a directory"),
        (lambda storage: storage.create("folder", b""), "cannot write .*/folder: Is a directory"),
        (lambda storage: storage.create("six/a", b""), "cannot write .*/six/a: (File exists|Not a directory)"),
    ],
)
def test_what_the_outside_world_refuses_is_said_in_one_line(
    storage: LocalStorage, use: Callable[[LocalStorage], object], message: str
) -> None:
    storage.create("six", b"012345")
    storage.create("folder/a", b"")
    with pytest.raises(StorageError, match=f"^.*{message}$"):
        use(storage)


def test_list_names_objects_in_order_and_ignores_unfinished_ones(storage: LocalStorage, tmp_path: Path) -> None:
    assert storage.list("a/") == []
    for name in ("a/2", "b/1", "a/1", "a/0/3"):
        storage.create(name, name.encode())
    (tmp_path / "out" / ".unfinished").mkdir()
    (tmp_path / "out" / ".unfinished" / "half").write_bytes(b"half")
    assert storage.list("a/") == [Stored("a/0/3", 5), Stored("a/1", 3), Stored("a/2", 3)]
    assert [stored.name for stored in storage.list("")] == ["a/0/3", "a/1", "a/2", "b/1"]


def test_sweep_removes_what_was_left_unfinished_and_nothing_else(storage: LocalStorage, tmp_path: Path) -> None:
    storage.sweep()
    storage.create("a", b"one")
    (tmp_path / "out" / ".unfinished").mkdir()
    (tmp_path / "out" / ".unfinished" / "half").write_bytes(b"half")
    storage.sweep()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    assert storage.create("b", b"two")


def test_a_url_is_a_folder_or_refused(tmp_path: Path) -> None:
    for url in (str(tmp_path), f"file://{tmp_path}"):
        open_storage(url).replace("a", url.encode())
        assert (tmp_path / "a").read_bytes() == url.encode()
    for url in ("https://example.org/faces", "pickle://faces", "gs://bucket/faces"):
        with pytest.raises(StorageError, match=rf"^{url}: datasets lie in folders or in s3://, not in \w+://$"):
            open_storage(url)
    for url in ("", "file://", "s3://"):
        with pytest.raises(StorageError, match=r"^an empty URL names no folder$"):
            open_storage(url)


def test_sha256_is_that_of_the_standard() -> None:
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("s3:/bucket/x", "s3:/bucket/x is no URL: did you mean s3://bucket/x?"),
        ("S3:bucket/x", "did you mean s3://bucket/x?"),
        ("file:/tmp/x", "did you mean file:///tmp/x?"),
        ("file://localhost/tmp/x", "file:// is followed by a whole path"),
        ("https:/host/x", "did you mean https://host/x?"),
    ],
)
def test_half_written_urls_name_no_folder(url: str, line: str) -> None:
    with pytest.raises(StorageError) as refused:
        open_storage(url)
    assert line in str(refused.value)


def test_schemes_may_be_in_capitals(tmp_path: Path) -> None:
    assert open_storage(f"FILE://{tmp_path}").location == str(tmp_path)
