"""Other people's readers on a finished dataset, offline."""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
import yaml
from PIL import Image

from synth.dataset import Dataset, read_manifest
from synth.reader import open_dataset
from synth.storages.local import LocalStorage


@pytest.fixture(scope="module")
def manifest(dataset_folder: Path) -> Dataset:
    return read_manifest(LocalStorage(dataset_folder))


def stored_pictures(folder: Path) -> list[tuple[bytes, int]]:
    """What our own reader finds, in stored order."""
    return [(bytes(s.image), s.label) for s in open_dataset(str(folder), shuffle_buffer=0, decode=False)]


def decoded_digest(jpeg: bytes) -> str:
    """The sha256 of a picture's pixels, as the programs below print it."""
    return hashlib.sha256(np.asarray(Image.open(io.BytesIO(jpeg))).tobytes()).hexdigest()


def said_by(program: str, folder: Path, home: Path) -> Any:
    """The JSON that a program prints: in its own process, which keeps its caches under `home` and has no network."""
    environment = {
        **os.environ,
        **{name: str(home) for name in ("HOME", "XDG_CACHE_HOME", "HF_HOME", "CROISSANT_CACHE")},
        **dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"), "1"),
    }
    words = [sys.executable, "-c", program, str(folder)]
    return json.loads(subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)


def test_webdataset_reads_every_sample(dataset_folder: Path, manifest: Dataset) -> None:
    urls = [str(dataset_folder / shard.name) for shard in manifest.shards]
    samples: list[dict[str, Any]] = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [(sample["jpg"], int(sample["cls"])) for sample in samples] == stored_pictures(dataset_folder)
    for sample in samples:
        said = json.loads(sample["json"])
        assert sample["__key__"] == f"{said['identity']:08d}-{said['view']:04d}"
        assert set(said) == {"identity", "view", "attempt", "attributes", "cosine"}


def test_webdataset_decodes_samples(dataset_folder: Path, manifest: Dataset) -> None:
    shard = webdataset.WebDataset(str(dataset_folder / manifest.shards[0].name), shardshuffle=False)
    image, label = next(iter(shard.decode("rgb8").to_tuple("jpg", "cls")))
    assert (image.shape, image.dtype) == ((32, 32, 3), np.uint8)
    assert label == stored_pictures(dataset_folder)[0][1]


HUGGING_FACE = """
import hashlib, json, sys
import datasets, numpy
files = {"train": sys.argv[1] + "/shards/*.tar"}
loaded = datasets.load_dataset("webdataset", data_files=files, split="train", streaming=False)
digests = [hashlib.sha256(numpy.asarray(sample["jpg"]).tobytes()).hexdigest() for sample in loaded]
print(json.dumps(list(zip(loaded["__key__"], loaded["cls"], loaded["json"], digests))))
"""


def test_hugging_face_reads_every_sample(dataset_folder: Path, tmp_path: Path) -> None:
    samples = said_by(HUGGING_FACE, dataset_folder, tmp_path)
    for (key, label, said, digest), (jpeg, expected) in zip(samples, stored_pictures(dataset_folder), strict=True):
        assert key == f"{expected:08d}-{said['view']:04d}"
        assert label == said["identity"] == expected
        assert digest == decoded_digest(jpeg)


def test_hugging_face_finds_the_shards_by_the_cards_front_matter(dataset_folder: Path, manifest: Dataset) -> None:
    _, front, text = (dataset_folder / "README.md").read_text().split("---\n", 2)
    (config,) = yaml.safe_load(front)["configs"]
    (files,) = config["data_files"]
    assert files["split"] == "train"
    found = sorted(path.relative_to(dataset_folder).as_posix() for path in dataset_folder.glob(files["path"]))
    assert found == [shard.name for shard in manifest.shards]
    assert f"{manifest.kept} kept of {manifest.planned} planned" in text


CROISSANT = """
import hashlib, itertools, json, sys
import mlcroissant, numpy
dataset = mlcroissant.Dataset(jsonld=sys.argv[1] + "/croissant.json")
issues = dataset.metadata.issues
names = ("samples/key", "samples/identity", "samples/picture")
records = [[record[name] for name in names] for record in itertools.islice(dataset.records("samples"), 20)]
samples = [[k.decode(), i, hashlib.sha256(numpy.asarray(p).tobytes()).hexdigest()] for k, i, p in records]
print(json.dumps({"errors": list(issues.errors), "warnings": list(issues.warnings), "samples": samples}))
"""


def test_croissant_is_valid_and_gives_pictures_with_their_identities(dataset_folder: Path, tmp_path: Path) -> None:
    said = said_by(CROISSANT, dataset_folder, tmp_path)
    assert said["errors"] == []
    # There is no publication to cite; nothing else that Croissant recommends is missing.
    assert all("citeAs" in warning for warning in said["warnings"])
    expected = {(label, decoded_digest(jpeg)) for jpeg, label in stored_pictures(dataset_folder)}
    assert len({key for key, _, _ in said["samples"]}) == 20
    for key, identity, digest in said["samples"]:
        assert key.startswith(f"{identity:08d}-")
        assert (identity, digest) in expected


def test_croissant_names_every_shard_with_its_sha256(dataset_folder: Path, manifest: Dataset) -> None:
    files = json.loads((dataset_folder / "croissant.json").read_text())["distribution"]
    named = {file["contentUrl"]: file["sha256"] for file in files if "sha256" in file}
    assert named == {shard.name: shard.sha256 for shard in manifest.shards}
