"""What is refused of identities and variations: one line that names what is wrong, and nothing written."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.jobs.making import Ended, features, store, store_directions, typed


def spoiled(**rows: float | Tensor) -> Tensor:
    """Features with some rows, `row7=...`, replaced."""
    found = features()
    for name, value in rows.items():
        found[int(name.removeprefix("row"))] = value
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that nobody can use, and of some that fit."""
    folder = tmp_path_factory.mktemp("files")
    rows = features()
    for name, content in {
        "good": rows,
        "nan": spoiled(row7=torch.nan),
        "infinite": spoiled(row8=torch.inf),
        "zero": spoiled(row9=0),
        "double": spoiled(row20=rows[4]),
        "narrow": rows[:, :32].contiguous(),
        "single": rows[:1],
        "flat": rows[0],
        "whole": rows.long(),
    }.items():
        store(folder / f"{name}.npy", content)
    np.save(folder / "objects.npy", np.array([rows.tolist(), "x"], dtype=object), allow_pickle=True)
    (folder / "pickled.npy").write_bytes(pickle.dumps(rows.numpy()))
    (folder / "people.pkl").write_bytes(pickle.dumps(rows.numpy()))
    (folder / "empty.npy").touch()
    (folder / "text.safetensors").write_text("not a tensor in it")
    store(folder / "several.safetensors", rows, mirrored=-rows)
    store_directions(folder / "directions.safetensors", age=rows[0], smile=rows[1])
    store_directions(folder / "short.safetensors", age=rows[0, :32].clone())
    store_directions(folder / "matrix.safetensors", age=rows)
    store_directions(folder / "nowhere.safetensors", age=torch.zeros(64))
    return folder


def build(folder: Path, settings: dict[str, Any]) -> Ended:
    """Build into a folder that must not be there afterwards."""
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    small = ["--set", "identities.count=20", "--set", "variations.views=2"]
    ended = typed("build", "barcode", "--out", folder / "out", "--workers", "0", *small, *sets)
    assert not (folder / "out").exists(), "something was left behind"
    return ended


#: Wherever a recipe takes vectors, with FILE in their place.
VECTORS = {
    "prior": ("identities.prior", "{kind: file, vectors: FILE}"),
    "means": ("identities.prior", "{kind: vmf, concentration: 30, means: FILE}"),
    "group": ("identities.prior", "{kind: groups, groups: {all: {share: 1, prior: {kind: file, vectors: FILE}}}}"),
    "gallery": ("identities.packing", "{steps: 5, pull: 0.1, gallery: FILE}"),
}


@pytest.mark.parametrize("where", VECTORS)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan.npy", "nan.npy: row 7 holds NaN or infinity"),
        ("infinite.npy", "infinite.npy: row 8 holds NaN or infinity"),
        ("zero.npy", "zero.npy: row 9 is all zeros"),
        ("double.npy", "double.npy: rows 4 and 20 are the same"),
        ("narrow.npy", "32 numbers, the renderer wants 64"),
        ("flat.npy", "flat.npy: embeddings are rows of vectors, 2-D, not of shape [64]"),
        ("whole.npy", "whole.npy: embeddings are floating-point numbers, not int64"),
        ("objects.npy", "objects.npy is no .npy file of plain numbers (pickles are never read)"),
        ("pickled.npy", "pickled.npy is no .npy file of plain numbers (pickles are never read)"),
        ("empty.npy", "empty.npy is no .npy file of plain numbers"),
        ("people.pkl", "people.pkl: embeddings are read from .npy, .parquet, .safetensors files"),
        ("text.safetensors", "text.safetensors is no .safetensors file, or is damaged"),
        ("nothing.npy", "nothing.npy: No such file or directory"),
        ("nothing/", "names a folder, not a file"),
    ],
)
def test_vectors_that_cannot_stand_for_people_are_refused_wherever_they_are_named(
    files: Path, tmp_path: Path, where: str, name: str, message: str
) -> None:
    key, value = VECTORS[where]
    assert message in build(tmp_path, {key: value.replace("FILE", f"{files}/{name}")}).line


PRIOR, PACKING, VECTOR, COUNT = "identities.prior", "identities.packing", "variations.vector", "identities.count"
LIMIT, SPARE = "identities.separation.max_cosine", "identities.separation.candidates_per_identity"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        # Priors
        ({PRIOR: "{kind: unifrom}"}, ["identities.prior.kind: unknown kind 'unifrom'; did you mean uniform?"]),
        ({PRIOR: "{kind: file}"}, ["identities.prior.vectors: this key is required"]),
        ({PRIOR: "{kind: file, vectros: x.npy}"}, ["identities.prior.vectros: unknown key; did you mean vectors?"]),
        ({PRIOR: "{kind: file, vectors: FILES/good.npy, column: x}"}, ["a .npy file holds one array"]),
        ({PRIOR: "{kind: file, vectors: FILES/several.safetensors, column: x}"}, ["'x'; it has mirrored, vectors"]),
        ({PRIOR: "{kind: file, vectors: 'ftp://host/x.npy'}"}, ["paths, s3://, hf:// and builtin://, not from ftp://"]),
        ({PRIOR: "{kind: file, vectors: {url: x, sha256: abc}}"}, ["identities.prior.vectors.sha256", "'abc'"]),
        ({PRIOR: "{kind: vmf}"}, ["identities.prior.concentration: this key is required"]),
        ({PRIOR: "{kind: vmf, concentration: -1}"}, ["identities.prior.concentration", "not -1"]),
        ({PRIOR: "{kind: vmf, concentration: 1, components: 3, weights: [1, 2]}"}, ["2 weights for 3 components"]),
        ({PRIOR: "{kind: vmf, concentration: 1, means: FILES/good.npy, weights: [1]}"}, ["weights for 60 means"]),
        ({PRIOR: "{kind: vmf, concentration: 1, components: 2, weights: [1, -2]}"}, ["weights are numbers from 0"]),
        ({PRIOR: "{kind: pca_gaussian, file: FILES/good.npy}"}, ["good.npy is no prior file"]),
        ({PRIOR: "{kind: pca_gaussian, file: FILES/directions.safetensors}"}, ["directions.safetensors is no prior"]),
        ({PRIOR: "{kind: pca_gaussian, file: FILES/nothing}"}, ["nothing: No such file or directory"]),
        # Groups
        (
            {PRIOR: "{kind: groups, groups: {a: {share: 0.5, prior: {kind: uniform}}}}"},
            ["the shares of the groups add up to 0.5, not to 1"],
        ),
        (
            {PRIOR: "{kind: groups, groups: {a: {share: 1, prior: {kind: oil}}}}"},
            ["identities.prior.groups.a.prior", "oil"],
        ),
        ({PRIOR: "{kind: groups, groups: {a/b: {share: 1, prior: {kind: uniform}}}}"}, ["'a/b' is no label"]),
        (
            {
                PRIOR: "{kind: groups, groups: {a: {share: 0.5, prior: {kind: file, vectors: FILES/good.npy}}, "
                "b: {share: 0.5, prior: {kind: file, vectors: FILES/narrow.npy}}}}"
            },
            ["the groups' vectors have different lengths: [32, 64] numbers"],
        ),
        (
            {PRIOR: "{kind: groups, groups: {a: {share: 1, prior: {kind: groups, groups: {}}}}}"},
            ["identities.prior.groups.a.prior", "groups"],
        ),
        # Separation
        (
            {LIMIT: -0.1},
            [
                "simplex bound",
                "at least -0.0526",
                "at most 11 can keep this limit",
                "raise identities.separation.max_cosine",
            ],
        ),
        (
            {COUNT: 100, LIMIT: -0.01},
            ["orthoplex bound", "is at least 0,", "at most 65 can keep this limit"],
        ),
        ({COUNT: 5000, LIMIT: 0.1}, ["no 5000 vectors in 64 dimensions", "Levenshtein bound", "at least 0.1285"]),
        ({SPARE: 0}, ["identities.separation.candidates_per_identity", "not 0"]),
        # Packing
        ({PACKING: "{}"}, ["identities.packing.steps: this key is required"]),
        ({PACKING: "{steps: 0}"}, ["identities.packing.steps", "not 0"]),
        ({PACKING: "{steps: 5, pull: 0.1}"}, ["identities.packing: pull and gallery go together"]),
        ({PACKING: "{steps: 5, gallery: FILES/good.npy}"}, ["identities.packing: pull and gallery go together"]),
        ({PACKING: "{steps: 5, pull: 0.1, gallery: FILES/narrow.npy}"}, ["the gallery", "narrow.npy", "32 numbers"]),
        (
            {PACKING: "{steps: 3}", COUNT: 200, LIMIT: 0.1},
            ["packing reached a largest cosine of 0.", "in 3 steps, not 0.1", "allow more identities.packing.steps"],
        ),
        ({PACKING: "{steps: 5}", COUNT: 5000, LIMIT: 0.1}, ["Levenshtein bound"]),
        # Variations
        ({VECTOR: "{kind: cones}"}, ["variations.vector.kind: unknown kind 'cones'; did you mean cone?"]),
        ({VECTOR: "{kind: band, min_cosine: 0.8}"}, ["min_cosine 0.8 is above max_cosine 0.7"]),
        ({VECTOR: "{kind: gaussian_mixture, sigmas: [1, 2], shares: [0.5, 0.4]}"}, ["shares add up to 0.9, not to 1"]),
        ({VECTOR: "{kind: gaussian_mixture, sigmas: [1, 2]}"}, ["2 sigmas need as many shares, not 3"]),
        ({VECTOR: "{kind: noise, sigma: 0}"}, ["variations.vector.sigma", "not 0"]),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    files: Path, tmp_path: Path, settings: dict[str, Any], words: list[str]
) -> None:
    placed = {key: str(value).replace("FILES", str(files)) for key, value in settings.items()}
    line = build(tmp_path, placed).line
    assert [word for word in words if word not in line] == [], line


@pytest.mark.parametrize(
    ("name", "steps", "message"),
    [
        ("directions", "{aeg: {kind: constant, value: 1}}", "has no direction 'aeg'; it has age, smile"),
        ("directions", "{age: {kind: uniform, low: 2, high: 1}}", "low 2 is above high 1"),
        ("directions", "{age: {kind: constant, value: red}}", "age"),
        ("directions", "{age: {kind: choice, weights: {a: 1}}}", "variations.vector.steps.age"),
        ("directions", "{}", "variations.vector.steps"),
        ("short", "{age: {kind: constant, value: 1}}", "short.safetensors have 32 numbers, the renderer wants 64"),
        ("matrix", "{age: {kind: constant, value: 1}}", "age is not one vector of numbers, but (60, 64)"),
        ("nowhere", "{age: {kind: constant, value: 1}}", "age is zero, or holds NaN or infinity"),
        ("text", "{age: {kind: constant, value: 1}}", "text.safetensors is not a safetensors file, or damaged"),
        ("nothing", "{age: {kind: constant, value: 1}}", "nothing.safetensors: No such file or directory"),
    ],
)
def test_directions_that_lead_nowhere_are_refused(
    files: Path, tmp_path: Path, name: str, steps: str, message: str
) -> None:
    settings = {VECTOR: f"{{kind: directions, file: {files}/{name}.safetensors, steps: {steps}}}"}
    assert message in build(tmp_path, settings).line


def test_too_many_for_a_limit_are_told_how_many_fit_and_what_to_try(tmp_path: Path) -> None:
    line = build(tmp_path, {COUNT: 500, LIMIT: 0.2}).line
    assert "at max_cosine 0.2 in 64 dimensions this prior holds about 1" in line
    assert "of the 500 identities asked for" in line
    assert "ask for fewer, or raise identities.separation.max_cosine to about 0.2" in line


def test_too_few_people_in_a_file_are_counted(files: Path, tmp_path: Path) -> None:
    line = build(tmp_path, {PRIOR: f"{{kind: file, vectors: {files}/good.npy}}", COUNT: 61, LIMIT: 1}).line
    assert "the prior has no more candidates: of the first 60, 60 fit at max_cosine 1, and 61 identities" in line
    assert line.endswith("; ask for fewer")


def test_the_group_that_cannot_be_filled_is_named(files: Path, tmp_path: Path) -> None:
    few = f"{{share: 0.5, prior: {{kind: file, vectors: {files}/single.npy}}}}"
    many = "{share: 0.5, prior: {kind: uniform}}"
    line = build(tmp_path, {PRIOR: f"{{kind: groups, groups: {{few: {few}, many: {many}}}}}"}).line
    assert "the prior has no more candidates for the group few: " in line
    assert "and 20 identities are asked for" in line


@pytest.mark.parametrize("verb", ["plan", "preview"])
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (PRIOR, "{kind: file, vectors: FILES/zero.npy}", "zero.npy: row 9 is all zeros"),
        (PRIOR, "{kind: file, vectors: FILES/narrow.npy}", "32 numbers, the renderer wants 64"),
        (PACKING, "{steps: 5, pull: 0.1, gallery: FILES/narrow.npy}", "32 numbers, the renderer wants 64"),
        (VECTOR, "{kind: directions, file: FILES/short.safetensors, steps: {age: {kind: constant, value: 1}}}", "32"),
    ],
)
def test_plan_and_preview_refuse_as_build_does(
    files: Path, tmp_path: Path, verb: str, key: str, value: str, message: str
) -> None:
    output: list[str | Path] = ["-o", tmp_path / "sheet.png"] if verb == "preview" else []
    ended = typed(verb, "barcode", "--set", f"{key}={value.replace('FILES', str(files))}", *output)
    assert message in ended.line
    assert not list(tmp_path.iterdir())
