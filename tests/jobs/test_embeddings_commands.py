"""`embed`, `fit-prior` and `measure`, as typed: what they print of known vectors, and what they leave behind."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from samplers.sphere import cosine
from synth.embeddings import read_prior
from synth.pictures import open_pictures
from tests.jobs.making import features, store, typed

LABELS = [f"person {row % 12}" for row in range(60)]


def test_pictures_are_embedded_with_their_labels(dataset_folder: Path, tmp_path: Path) -> None:
    output, prior = tmp_path / "embeddings.safetensors", tmp_path / "prior.safetensors"
    dataset = open_pictures(str(dataset_folder), {})
    count = len(dataset.table)
    done = typed("embed", dataset_folder, "-o", output, "--encoder", "barcode")
    assert done.out == f"{output}: the embeddings of {count} pictures by barcode, and their labels\n"
    found = load_file(output)
    assert torch.equal(found["labels"], dataset.table.identity)
    own = cosine(found["vectors"], dataset.anchors[found["labels"]])
    assert float(own.min()) > 0.6  # which the checks asked of them, before JPEG
    said = typed("fit-prior", output, "-o", prior).out
    assert said.startswith(f"{prior}: {len(dataset.anchors)} centres (means of {count} rows by their label)")


def test_the_built_in_encoder_embeds_as_a_file_of_it_does(dataset_folder: Path, tmp_path: Path) -> None:
    by_name, by_file = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    typed("embed", dataset_folder, "-o", by_name)
    typed("embed", dataset_folder, "-o", by_file, "--encoder", "builtin://encoder.safetensors")
    vectors = load_file(by_name)["vectors"]
    assert vectors.shape[1] == 256
    assert torch.equal(vectors, load_file(by_file)["vectors"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "a.npy"), "a.npy: embeddings are stored as .safetensors"),
        (("-o", "a.safetensors", "--encoder", "juge"), "'juge' is no built-in encoder (barcode, builtin, judge), and"),
        (("-o", "a.safetensors", "--encoder", "there/is/none"), "cannot read there/is/none: No such file"),
    ],
)
def test_what_cannot_be_embedded_is_told(dataset_folder: Path, words: tuple[str, ...], said: str) -> None:
    assert said in typed("embed", dataset_folder, *words).err


def means_of_labels(rows: Tensor) -> Tensor:
    """The mean feature of each of the twelve people."""
    return torch.stack([rows[[i for i, label in enumerate(LABELS) if label == name]].mean(0) for name in set(LABELS)])


def fitted_mean(file: Path) -> Tensor:
    return read_prior(file.name, file.read_bytes()).mean


def test_a_prior_is_fitted_to_every_row_or_to_the_mean_of_every_label(tmp_path: Path) -> None:
    rows, output = features(), tmp_path / "prior.safetensors"
    plain, labelled = store(tmp_path / "a.npy", rows), store(tmp_path / "b.parquet", rows, who=LABELS)
    assert typed("fit-prior", plain, "--output", output).out.startswith(f"{output}: 60 centres; ")
    assert torch.allclose(fitted_mean(output), rows.mean(0), atol=1e-5)
    assert typed("fit-prior", labelled, "-o", output, "--labels", "who").out.startswith(
        f"{output}: 12 centres (means of 60 rows by their label); "
    )
    assert torch.allclose(fitted_mean(output), means_of_labels(rows).mean(0), atol=1e-5)


def test_columns_and_tensors_are_named(tmp_path: Path) -> None:
    rows, output = features(), tmp_path / "prior.safetensors"
    numbers = torch.arange(60) % 7
    file = store(tmp_path / "a.safetensors", rows, mirrored=2 - rows, who=numbers)
    typed("fit-prior", file, "-o", output, "--column", "mirrored")
    assert torch.allclose(fitted_mean(output), 2 - rows.mean(0), atol=1e-5)
    assert (
        ": 7 centres (means of 60 rows by their label); "
        in typed("fit-prior", file, "-o", output, "--column", "mirrored", "--labels", "who").out
    )


def test_what_is_said_of_a_prior_is_right_for_a_known_one(tmp_path: Path) -> None:
    """Four people around (0, 0, 10), a step of one along either of two axes: two dimensions, alike."""
    steps = torch.eye(3)[[0, 0, 1, 1]] * torch.tensor([1.0, -1, 1, -1])[:, None]
    file, output = store(tmp_path / "a.npy", steps + 10 * torch.eye(3)[2]), tmp_path / "prior.safetensors"
    assert typed("fit-prior", file, "-o", output).out == (
        f"{output}: 4 centres; participation ratio 2.0, dimensions for 90 % of the variance 2, for 99 % 2, "
        "mean norm 10.066\n"
    )
    assert (
        "participation ratio 1.0, dimensions for 90 % of the variance 1,"
        in typed("fit-prior", file, "-o", output, "--components", "1").out
    )
    assert read_prior("a", output.read_bytes()).components.shape == (1, 3)


def test_a_recipe_reads_what_was_fitted(tmp_path: Path) -> None:
    output = tmp_path / "made" / "prior.safetensors"
    assert typed("fit-prior", store(tmp_path / "a.npy", features()), "-o", output).code == 0
    settings = [f"identities.prior={{kind: pca_gaussian, file: {output}}}", "identities.count=20", "variations.views=2"]
    sets = [word for setting in settings for word in ("--set", setting)]
    assert typed("build", "barcode", "--out", tmp_path / "out", "--workers", "0", *sets).code == 0
    assert typed("verify", tmp_path / "out").out.startswith("sound: ")


def test_the_same_embeddings_give_the_same_prior(tmp_path: Path) -> None:
    file = store(tmp_path / "a.npy", features())
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    for output in (one, two):
        typed("fit-prior", file, "-o", output)
    assert one.read_bytes() == two.read_bytes()


def beside(folder: Path, name: str) -> Path:
    """A file that there is trouble with."""
    rows = features()
    match name:
        case "nan.npy":
            rows[3, 1] = torch.nan
        case "double.npy":
            rows[20] = rows[4]
        case "single.npy":
            rows = rows[:1]
        case "missing.npy":
            return folder / name
        case "several.safetensors":
            return store(folder / name, rows, features=-rows)
    return store(folder / name, rows)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nan.npy", [], "nan.npy: row 3 holds NaN or infinity"),
        ("double.npy", [], "double.npy: rows 4 and 20 are the same"),
        ("single.npy", [], "single.npy: a PCA prior needs at least two features, not 1"),
        ("missing.npy", [], "missing.npy: No such file or directory"),
        ("several.safetensors", [], "several.safetensors has more than one 2-D tensor (features, vectors)"),
        ("several.safetensors", ["--column", "x"], "no 2-D tensor named 'x'; it has features, vectors"),
        ("good.parquet", ["--labels", "who"], "good.parquet has no label column named 'who'"),
        ("good.npy", ["--labels", "who"], "good.npy: a .npy file holds one array"),
        ("good.npy", ["--components", "60"], "good.npy: 60 features of 64 numbers have 1 to 59 components, not 60"),
    ],
)
def test_a_prior_that_cannot_be_fitted_costs_one_line_and_writes_nothing(
    tmp_path: Path, name: str, options: list[str], message: str
) -> None:
    file, output = beside(tmp_path, name), tmp_path / "made" / "prior.safetensors"
    assert message in typed("fit-prior", file, "-o", output, *options).line
    assert not output.parent.exists()


def test_a_prior_that_cannot_be_written_costs_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = store(tmp_path / "a.npy", features())
    inside = tmp_path / "file" / "prior.safetensors"
    assert f"cannot write {inside}: " in typed("fit-prior", file, "-o", inside).line
    named = typed("fit-prior", file, "-o", tmp_path / "prior.npy").line
    assert named == f"{tmp_path}/prior.npy: a prior is stored as .safetensors"
    assert not (tmp_path / "prior.npy").exists()


LIMITS = (0.1, 0.3, 0.75, 1.0)


@pytest.mark.parametrize("name", ["a.npy", "a.parquet", "a.safetensors"])
def test_what_is_measured_agrees_with_all_pairs_compared_one_by_one(tmp_path: Path, name: str) -> None:
    rows = features(300, dimension=32)
    rows[250:] = 2 * rows[100:150] + 0.8 * rows[:50]  # some that are nearly somebody else
    cosines = cosine(rows[:, None], rows[None]).fill_diagonal_(-2)
    file = store(tmp_path / name, rows)
    for limit in LIMITS:
        ended = typed("measure", file, "--max-cosine", str(limit))
        assert (ended.code, ended.err) == (0, "")
        lines = ended.out.splitlines()
        assert lines[0] == f"300 vectors of 32 numbers, mean norm {float(rows.norm(dim=1).mean()):.3f}"
        ((largest, one, other),) = re.findall(r"^largest cosine: (.*), rows (\d+) and (\d+)$", lines[1])
        assert float(largest) == pytest.approx(float(cosines.max()), abs=1e-6)
        assert float(cosines[int(one), int(other)]) == float(cosines.max())
        median = float(lines[2].removeprefix("nearest neighbours: median cosine "))
        assert median == pytest.approx(float(cosines.amax(1).median()), abs=1e-4)
        unique = sum(1 for row in range(300) if not bool((cosines[row, :row] > limit).any()))
        assert lines[3] == f"unique: {unique} rows have no earlier row at a cosine above {limit:g}"
        assert (unique == 300) is (limit == 1)


def test_a_column_is_measured_by_its_name(tmp_path: Path) -> None:
    file = store(tmp_path / "a.safetensors", features(), three=torch.eye(3))
    assert typed("measure", file, "--column", "three").out.startswith("3 vectors of 3 numbers, mean norm 1.000\n")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nan.npy", [], "nan.npy: row 3 holds NaN or infinity"),
        ("single.npy", [], "single.npy has a single vector"),
        ("missing.npy", [], "missing.npy: No such file or directory"),
        ("several.safetensors", [], "several.safetensors has more than one 2-D tensor (features, vectors)"),
        ("good.npy", ["--column", "x"], "good.npy: a .npy file holds one array"),
    ],
)
def test_what_cannot_be_measured_costs_one_line(tmp_path: Path, name: str, options: list[str], message: str) -> None:
    assert message in typed("measure", beside(tmp_path, name), *options).line


@pytest.mark.parametrize("words", [["--max-cosine", "1.5"], ["--max-cosine", "-2"], ["--labels", "x"], []])
def test_wrong_usage_costs_exit_code_2(tmp_path: Path, words: list[str]) -> None:
    file = [store(tmp_path / "a.npy", features())] * bool(words)
    assert typed("measure", *file, *words).code == 2
    assert typed("fit-prior", *file).code == 2, "without --output"
