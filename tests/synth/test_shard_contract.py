"""What a shard does not depend on, what it refuses to commit, and what a second commit may say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from samplers.errors import RenderError, StorageError
from samplers.pictures import Pictures
from synth import renderer as contract
from synth.anchors import write_anchors
from synth.backend import Backend
from synth.commit import commit_name, read_commit, tar_name
from synth.encoders.barcode import BarcodeEncoder
from synth.encoders.settings import BarcodeEncoderSettings
from synth.renderer import Portraits, Views
from synth.renderers.barcode import BarcodeRenderer
from synth.renderers.settings import BarcodeSettings
from synth.storages.local import LocalStorage
from synth.views import attempt_index, draw_views
from synth.workshop import ShardFailure, Workshop, WorkshopSpec
from tests.synth.making import PEOPLE, VIEWS, Bench, spec

ENCODERS = {"barcode": BarcodeEncoderSettings()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(LocalStorage(tmp_path / "out"))


class AlteredRenderer(BarcodeRenderer):
    """Draws barcodes, and gives out something else."""

    def __init__(self, size: int, alter: Callable[[Tensor], Tensor]) -> None:
        super().__init__(size)
        self._alter = alter

    def render(self, views: Views) -> Tensor:
        return self._alter(super().render(views))


class AlteredEncoder(BarcodeEncoder):
    """Reads barcodes, and gives out something else."""

    def __init__(self, alter: Callable[[Tensor], Tensor]) -> None:
        self._alter = alter

    def embed(self, images: Tensor) -> Tensor:
        return self._alter(super().embed(images))


class NanRenderer(BarcodeRenderer):
    def render(self, views: Views) -> Tensor:
        return super().render(views) * torch.nan


class LandmarkRenderer(BarcodeRenderer):
    """Its landmarks are the first ten numbers of the vector."""

    def portraits(self, views: Views) -> Portraits:
        return Portraits(self.render(views), views.vector[:, :10].view(-1, 5, 2))


class CountingRenderer(BarcodeRenderer):
    """Remembers how many pictures it was asked for at a time."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.asked: set[int] = set()

    def render(self, views: Views) -> Tensor:
        self.asked.add(len(views))
        return super().render(views)


def one_nan(values: Tensor) -> Tensor:
    values = values.float()
    values.view(-1)[-1] = torch.nan
    return values


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (one_nan, "NaN or infinite pixels"),
        (lambda images: images / 0, "NaN or infinite pixels"),
        (lambda images: images.float(), r"float32 \(16, 32, 32, 3\) where uint8 \(16, 32, 32, 3\)"),
        (lambda images: images.short(), r"int16 \(16, 32, 32, 3\) where uint8"),
        (lambda images: images[:-1], r"uint8 \(15, 32, 32, 3\) where uint8 \(16,"),
        (lambda images: images[:, :-1], r"uint8 \(16, 31, 32, 3\)"),
        (lambda images: images[..., :1], r"uint8 \(16, 32, 32, 1\)"),
        (lambda images: images[0], r"uint8 \(32, 32, 3\)"),
        (lambda images: images[:, :0, :0], r"uint8 \(16, 0, 0, 3\)"),
    ],
)
def test_a_renderer_that_breaks_its_contract_commits_nothing(
    bench: Bench, alter: Callable[[Tensor], Tensor], message: str
) -> None:
    bench.renderer = AlteredRenderer(32, alter)
    with pytest.raises(RenderError, match=f"^the renderer gave {message}"):
        bench.make(spec())
    assert bench.storage.list("") == []


@pytest.mark.parametrize("alter", [one_nan, lambda vectors: vectors[:, 1:], lambda vectors: vectors[1:]])
def test_an_encoder_that_breaks_its_contract_commits_nothing(bench: Bench, alter: Callable[[Tensor], Tensor]) -> None:
    bench.encoder = AlteredEncoder(alter)
    with pytest.raises(RenderError, match=r"^the encoder gave"):
        bench.make(spec())
    assert bench.storage.list("") == []


@pytest.mark.parametrize(("kind", "failure"), [("nan", "contract"), ("absent", "settings"), ("broken", "bug")])
def test_a_workshop_names_what_went_wrong_and_never_raises(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: str, failure: str
) -> None:
    monkeypatch.setitem(contract.RENDERERS, "nan", lambda: NanRenderer)
    monkeypatch.setitem(contract.RENDERERS, "broken", lambda: AlteredRenderer)
    write_anchors(bench.storage, bench.identities, {})
    url = bench.storage.url
    made = Workshop(
        WorkshopSpec(url, BarcodeSettings.model_construct(kind=kind, size=32), ENCODERS, Backend(), spec())
    ).make(0)
    assert isinstance(made, ShardFailure)
    assert (made.shard, made.kind, bool(made.traceback)) == (0, failure, failure == "bug")
    assert "\n" not in made.message
    assert read_commit(bench.storage, 0) is None


def test_a_workshop_makes_the_shard_that_is_made_without_it(bench: Bench, tmp_path: Path) -> None:
    write_anchors(bench.storage, bench.identities, {})
    workshop = Workshop(WorkshopSpec(bench.storage.url, BarcodeSettings(size=32), ENCODERS, Backend(), spec()))
    made, expected = workshop.make(0), Bench(LocalStorage(tmp_path / "other")).make(spec())
    assert not isinstance(made, ShardFailure)
    assert (made.tar, made.index) == (expected.tar, expected.index)


def test_the_embeddings_column_is_what_the_encoder_gave(bench: Bench) -> None:
    made = spec(attempts=1)
    places = made.pictures.at(0, PEOPLE * VIEWS)
    views = draw_views(made.variety, bench.tools.anchors, attempt_index(places, 0))
    expected = BarcodeEncoder().embed(bench.renderer.render(views)).half().tolist()
    assert [row["embedding"] for row in bench.rows(bench.make(made))] == expected


def test_without_checks_nothing_is_measured_and_all_is_kept(bench: Bench) -> None:
    commit = bench.make(spec(checks=()))
    assert commit.kept == commit.rendered == PEOPLE * VIEWS
    assert {(row["cosine"], row["embedding"], row["landmarks"]) for row in bench.rows(commit)} == {(None, None, None)}


def test_embeddings_are_left_out_unless_asked_for(bench: Bench) -> None:
    assert {row["embedding"] for row in bench.rows(bench.make(spec(embeddings=False)))} == {None}


def test_landmarks_stand_in_the_index_where_the_renderer_knows_them(bench: Bench) -> None:
    bench.renderer = LandmarkRenderer(32)
    made = spec(attempts=1)
    places = made.pictures.at(0, PEOPLE * VIEWS)
    vectors = draw_views(made.variety, bench.tools.anchors, attempt_index(places, 0)).vector
    for row, vector in zip(bench.rows(bench.make(made)), vectors, strict=True):
        assert row["landmarks"] == pytest.approx(vector[:10].tolist(), abs=6e-4)


@pytest.mark.parametrize(("micro_batch", "shards"), [(1, 1), (7, 3), (64, 1), (200, 4)])
def test_a_picture_depends_on_neither_micro_batch_nor_shard(
    bench: Bench, tmp_path: Path, micro_batch: int, shards: int
) -> None:
    expected = said_of_pictures(bench, 16, 1)
    assert said_of_pictures(Bench(LocalStorage(tmp_path / "other")), micro_batch, shards) == expected


def test_a_renderer_always_sees_full_micro_batches(bench: Bench) -> None:
    """Kernels round by the shape they see, so a last, short batch is padded."""
    bench.renderer = counting = CountingRenderer(32)
    bench.make(spec(micro_batch=50))
    assert counting.asked == {50}


def said_of_pictures(bench: Bench, micro_batch: int, shards: int) -> dict[str, Any]:
    """All that the index says of every picture, but for where it lies."""
    made = spec(micro_batch=micro_batch, shards=shards)
    rows = [row for shard in range(shards) for row in bench.rows(bench.make(made, shard))]
    return {row["key"]: {name: row[name] for name in row if name not in ("shard", "offset")} for row in rows}


def test_committing_the_same_bytes_twice_is_a_success(bench: Bench) -> None:
    first, stored = bench.make(spec()), bench.storage.list("")
    assert bench.make(spec()) == first == read_commit(bench.storage, 0)
    assert bench.storage.list("") == stored


def test_committing_other_bytes_is_refused_and_the_first_stand(bench: Bench) -> None:
    first = bench.make(spec())
    with pytest.raises(StorageError, match=r"^shard 0 of .* was committed by another build with other bytes$"):
        bench.make(spec(jpeg_quality=50))
    assert first.tar.holds_in(bench.storage)
    assert first.index.holds_in(bench.storage)
    assert read_commit(bench.storage, 0) == first


def test_what_an_interrupted_shard_left_is_replaced(bench: Bench) -> None:
    bench.storage.create(tar_name(0), b"half of another build")
    commit = bench.make(spec())
    assert commit.tar.holds_in(bench.storage)


def test_shards_of_one_dataset_do_not_touch_each_other(bench: Bench) -> None:
    made = spec(pictures=Pictures(PEOPLE, 2, 1), shards=3)
    commits = [bench.make(made, shard) for shard in (2, 0)]
    assert [commit.planned for commit in commits] == [14, 13]
    assert all(commit.tar.holds_in(bench.storage) and commit.index.holds_in(bench.storage) for commit in commits)
    assert not bench.storage.exists(commit_name(1))


class Crowded(LocalStorage):
    """A folder in which somebody does something just before an object is created, once."""

    def __init__(self, folder: Path, name: str, deed: Callable[[], object]) -> None:
        super().__init__(folder)
        self._name, self._deed = name, deed

    def create(self, name: str, data: bytes) -> bool:
        if name == self._name:
            self._name = ""
            self._deed()
        return super().create(name, data)


def test_a_shard_that_is_committed_while_it_is_stored_keeps_the_files_that_its_commit_names(tmp_path: Path) -> None:
    """Whoever comes second finds the tar there, with other bytes, and its commit: nothing may be put in its place."""
    here = LocalStorage(tmp_path)
    late = Bench(Crowded(tmp_path, tar_name(0), lambda: Bench(here).make(spec(jpeg_quality=50))))
    with pytest.raises(StorageError, match="was committed by another build with other bytes"):
        late.make(spec())
    standing = read_commit(here, 0)
    assert standing is not None
    assert standing.tar.holds_in(here)
    assert standing.index.holds_in(here)


def test_a_shard_whose_tar_is_removed_before_its_commit_is_not_committed(tmp_path: Path) -> None:
    """As by `gc`, for which a tar without a commit is an orphan."""
    here = LocalStorage(tmp_path)
    swept = Bench(Crowded(tmp_path, commit_name(0), lambda: here.delete(tar_name(0))))
    with pytest.raises(StorageError, match="was removed while it was stored; is gc at work"):
        swept.make(spec())
    assert read_commit(here, 0) is None
    assert swept.make(spec()).tar.holds_in(here)
