"""What must never happen, whatever a recipe, a weight file or a dataset holds: code that runs, or a path that escapes.

That clusters of our own listen on loopback and want a token is tried in `cluster/test_coming_and_going.py`, that
credentials stand in no message in `synth/test_storage_s3.py`, that names escape no folder in
`synth/test_storage_contract.py`.
"""

import ast
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import torch

from jobs.recipe import load_recipe
from jobs.wording import without_secrets
from samplers.errors import HypersynthError, RecipeError, StorageError
from synth.embeddings import read_prior
from synth.section import InputFile
from synth.storage import open_storage
from synth.weights import read_weights
from tests.conftest import build_at
from tests.jobs.making import small, typed
from tests.test_layers import MODULES, ROOT

SECRET = "wJalrXUtnFEMI-K7MDENG-not-a-real-key"


def calls(source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every call in a module: its dotted name, and its keywords that are constants."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            keywords = {each.arg: getattr(each.value, "value", ...) for each in node.keywords if each.arg}
            yield ast.unparse(node.func), keywords


def dangers(source: str) -> list[str]:
    """Calls that could run what they read."""
    found = []
    for name, keywords in calls(source):
        last = name.rpartition(".")[2]
        if name in ("eval", "exec", "os.system", "os.popen") or keywords.get("shell") is True:
            found.append(name)
        if name.split(".")[0] in ("pickle", "marshal", "shelve", "cloudpickle", "dill", "joblib"):
            found.append(name)
        if re.fullmatch(r"yaml\.\w*load\w*", name) and not last.startswith("safe_"):
            found.append(name)
        if name == "torch.load" and keywords.get("weights_only") is not True:
            found.append(name)
        if last in ("read_array", "load") and name.startswith("np.") and keywords.get("allow_pickle") is not False:
            found.append(name)
    return found


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_module_runs_what_it_reads(module: Path) -> None:
    assert dangers((ROOT / module).read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "eval(x)", "pickle.loads(x)", "yaml.load(x)", "yaml.full_load(x)", "torch.load(x)",
        "torch.load(x, weights_only=False)", "np.load(x)", "subprocess.run(x, shell=True)",
    ],
)  # fmt: skip
def test_a_danger_would_be_seen(source: str) -> None:
    assert len(dangers(source)) == 1


class Bomb:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self._path,)


@pytest.mark.parametrize("ending", [".pth", ".safetensors", ".npy", ".pt"])
@pytest.mark.parametrize("read", [read_weights, lambda file: read_prior(*file.read())])
def test_a_file_that_holds_code_is_refused_and_not_run(
    tmp_path: Path, ending: str, read: Callable[[InputFile], object]
) -> None:
    path, exploded = tmp_path / f"weights{ending}", tmp_path / "exploded"
    torch.save({"weight": torch.zeros(2), "bomb": Bomb(exploded)}, path)
    raw = tmp_path / f"raw{ending}"
    raw.write_bytes(pickle.dumps(Bomb(exploded)))
    for each in (path, raw):
        with pytest.raises(HypersynthError) as refused:
            read(InputFile(url=str(each)))
        assert "\n" not in str(refused.value)
    assert not exploded.exists()


def test_yaml_that_names_python_objects_is_refused(tmp_path: Path) -> None:
    exploded = tmp_path / "exploded"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"name: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{exploded}]]\n"
    )
    with pytest.raises(RecipeError):
        load_recipe(str(recipe))
    with pytest.raises(RecipeError):
        load_recipe("barcode", {"name": "!!python/name:os.system"})
    assert not exploded.exists()


@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "data", "javascript", "gs", "ssh", "pickle"])
def test_only_known_schemes_are_read_and_written(scheme: str) -> None:
    url = f"{scheme}://example.org/prior.safetensors"
    with pytest.raises(StorageError, match=r"files are read from paths, s3://, hf:// and builtin://, not from"):
        InputFile(url=url).read()
    with pytest.raises(StorageError, match=r"datasets lie in folders or in s3://, not in"):
        open_storage(url)


def test_what_comes_with_hypersynth_is_a_name_and_no_path() -> None:
    for name in ("../../pyproject.toml", "/etc/passwd", "a/../../b", ""):
        with pytest.raises(StorageError):
            InputFile(url=f"builtin://{name}").read()


def test_credentials_are_kept_in_nothing_that_is_written(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOTAREALKEY")
    build_at(small(), s3_url)
    storage = open_storage(s3_url)
    for stored in storage.list(""):
        data = storage.read(stored.name)
        assert SECRET.encode() not in data
        assert b"AKIANOTAREALKEY" not in data
    listed = boto3.client("s3").list_objects_v2(Bucket="bucket", Prefix=s3_url.rpartition("/")[2])
    assert listed["KeyCount"] == len(storage.list(""))


SECRET = "SECRET" + "WORD"


@pytest.mark.parametrize(
    "text",
    [
        f"https://user:{SECRET}@host/x: datasets lie in folders",
        f"S3://KEY:{SECRET}@bucket/x",
        f"s3:/KEY:{SECRET}@bucket/x is no URL",
        f"Invalid endpoint: usr:{SECRET}@127.0.0.1:1",
        f"http://usr:SLASH/{SECRET}@127.0.0.1:1",
        f"cannot fetch s3://bucket/f?X-Amz-Signature={SECRET}&X-Amz-Date=1",
        f"cannot join ray://u:{SECRET}@127.0.0.1:1",
    ],
)
def test_secrets_in_urls_are_not_said(text: str) -> None:
    said = without_secrets(text)
    assert SECRET not in said
    assert "SLASH" not in said


@pytest.mark.parametrize(
    "text",
    ["hf://owner/name@main/weights.pth", "s3://bucket/faces: denied", "at 12:30, mail a@b.c", "8 views x 4: fine"],
)
def test_what_is_no_secret_is_said(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    "words",
    [
        ["status", f"https://user:{SECRET}@host/x"],
        ["build", "barcode", "--workers", "0", "--out", f"S3://KEY:{SECRET}@bucket/x"],
        [
            "build",
            "barcode",
            "--out",
            "never",
            "--set",
            f"identities.prior={{kind: file, vectors: 'ftp://u:{SECRET}@h/f'}}",
        ],
    ],
)
def test_the_command_line_says_no_secrets(words: list[str]) -> None:
    ended = typed(*words)
    assert ended.code != 0
    assert SECRET not in ended.out + ended.line
