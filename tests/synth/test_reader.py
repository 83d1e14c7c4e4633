"""The reader: everybody's equal share, each sample once, and the bytes that were stored."""

import io
import tarfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from samplers import random
from samplers.attributes import Constant
from samplers.errors import DatasetError
from synth.dataset import NAME, Profile, make_manifest, manifest_bytes, read_manifest
from synth.reader import FaceDataset, Piece, Sample, open_dataset, share, shuffled
from synth.storages.local import LocalStorage
from tests.synth.making import PEOPLE, VIEWS, Bench, spec


@pytest.fixture(scope="module")
def stored(dataset_folder: Path) -> list[tuple[bytes, int]]:
    """All samples in the order of shards and tars, read by Python's tarfile."""
    samples = []
    for shard in sorted((dataset_folder / "shards").glob("*.tar")):
        with tarfile.open(shard) as tar:
            files = {info.name: tar.extractfile(info) for info in tar}
            data = {name: file.read() for name, file in files.items() if file}
        samples += [(data[f"{name[:-4]}.jpg"], int(data[name])) for name in data if name.endswith(".cls")]
    return samples


def read(folder: Path, epoch: int = 0, **how: Any) -> list[tuple[bytes, int]]:
    faces = open_dataset(str(folder), **{"decode": False, **how})
    faces.set_epoch(epoch)
    return through(faces, 0)


def through(faces: FaceDataset, workers: int) -> list[tuple[bytes, int]]:
    """One epoch through a DataLoader, or without one."""
    loader = DataLoader(faces, batch_size=None, num_workers=workers) if workers else faces
    return [as_pair(sample) for sample in loader]


def as_pair(sample: Sample) -> tuple[bytes, int]:
    assert isinstance(sample.image, bytes)
    return sample.image, sample.label


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 5), st.integers(1, 4), st.randoms())
def test_shares_divide_any_shards_among_ranks_and_workers(
    sizes: list[int], world: int, workers: int, chance: Any
) -> None:
    order = chance.sample(range(len(sizes)), len(sizes))
    length = sum(sizes) // world
    bounds = [rank * length + length * n // workers for rank in range(world) for n in range(workers)] + [world * length]
    pieces = [share(sizes, order, *pair) for pair in pairwise(bounds)]
    dealt = [(piece.shard, sample) for some in pieces for piece in some for sample in range(piece.first, piece.last)]
    assert dealt == [(shard, sample) for shard in order for sample in range(sizes[shard])][: world * length]
    held = [sum(piece.last - piece.first for piece in some) for some in pieces]
    assert [sum(held[rank * workers : (rank + 1) * workers]) for rank in range(world)] == [length] * world


def test_a_share_names_the_samples_of_each_shard() -> None:
    assert share([3, 0, 4], [2, 1, 0], 2, 6) == [Piece(2, 2, 4), Piece(0, 0, 2)]


@pytest.mark.parametrize(("world", "workers"), [(1, 0), (1, 3), (2, 2), (3, 1), (7, 0)])
def test_over_ranks_and_workers_every_sample_comes_once_but_the_remainder(
    dataset_folder: Path, stored: list[tuple[bytes, int]], world: int, workers: int
) -> None:
    ranks = [open_dataset(str(dataset_folder), rank=rank, world=world, decode=False) for rank in range(world)]
    read_by_rank = [through(faces, workers) for faces in ranks]
    assert (
        [len(samples) for samples in read_by_rank] == [len(faces) for faces in ranks] == [len(stored) // world] * world
    )
    seen = Counter(sample for samples in read_by_rank for sample in samples)
    assert max(seen.values()) == 1
    assert not set(seen) - set(stored)
    assert len(stored) - len(seen) == len(stored) % world


def test_the_shards_read_above_are_uneven(dataset_folder: Path) -> None:
    sizes = {shard.samples for shard in read_manifest(LocalStorage(dataset_folder)).shards}
    assert len(sizes) > 1


def test_raw_and_unshuffled_samples_are_the_tars_own(dataset_folder: Path, stored: list[tuple[bytes, int]]) -> None:
    assert read(dataset_folder, shuffle_buffer=0) == stored


def test_decoded_samples_are_the_decoded_jpegs(dataset_folder: Path, stored: list[tuple[bytes, int]]) -> None:
    for sample, (jpeg, label) in zip(open_dataset(str(dataset_folder), shuffle_buffer=0), stored, strict=True):
        assert isinstance(sample.image, torch.Tensor)
        assert (sample.image.dtype, sample.image.shape, sample.label) == (torch.uint8, (3, 32, 32), label)
        assert sample.image.is_contiguous()
        decoded = sample.image.permute(1, 2, 0).numpy()
        assert np.array_equal(decoded, simplejpeg.decode_jpeg(jpeg))
        assert np.abs(decoded - np.asarray(Image.open(io.BytesIO(jpeg)), np.float64)).mean() < 1


def test_epochs_and_seeds_differ_and_the_same_ones_repeat(
    dataset_folder: Path, stored: list[tuple[bytes, int]]
) -> None:
    orders = [read(dataset_folder, epoch, seed=seed) for epoch, seed in ((0, 0), (1, 0), (0, 1))]
    assert all(sorted(order) == sorted(stored) for order in orders)
    assert len({tuple(order) for order in (*orders, stored)}) == 4
    assert read(dataset_folder, 1, seed=0) == orders[1]


def test_ranks_leave_out_other_samples_in_other_epochs(dataset_folder: Path, stored: list[tuple[bytes, int]]) -> None:
    world = next(world for world in range(2, 50) if len(stored) % world)
    left_out = set()
    for epoch in range(8):
        seen = [sample for rank in range(world) for sample in read(dataset_folder, epoch, rank=rank, world=world)]
        left_out.add(frozenset(stored) - frozenset(seen))
    assert len(left_out) > 1


def test_a_loader_with_persistent_workers_follows_set_epoch(dataset_folder: Path) -> None:
    def open_faces() -> FaceDataset:
        return open_dataset(str(dataset_folder), decode=False)

    faces = open_faces()
    loader = DataLoader(faces, batch_size=None, num_workers=2, persistent_workers=True)
    orders = []
    for epoch in (0, 1, 0):
        faces.set_epoch(epoch)
        orders.append([as_pair(sample) for sample in loader])
    fresh = open_faces()
    fresh.set_epoch(1)
    assert orders[0] == orders[2] != orders[1] == through(fresh, 2)


def test_a_loader_makes_batches(dataset_folder: Path) -> None:
    images, labels = next(iter(DataLoader(open_dataset(str(dataset_folder)), batch_size=8)))
    assert (images.shape, images.dtype, labels.shape) == ((8, 3, 32, 32), torch.uint8, (8,))


def test_classes_are_the_labels(dataset_folder: Path, stored: list[tuple[bytes, int]]) -> None:
    labels = {label for _, label in stored}
    assert open_dataset(str(dataset_folder)).classes == 40 == len(labels) == max(labels) + 1


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 60), st.integers(1, 80), st.integers(0, 2**31))
def test_a_shuffle_buffer_of_any_size_loses_and_doubles_nothing(count: int, size: int, seed: int) -> None:
    samples = [(b"", label) for label in range(count)]
    mixed = list(shuffled(iter(samples), size, random.key_of(seed, "test")))
    assert sorted(mixed) == samples
    # A sample can leave early by at most the buffer's size.
    assert all(label <= place + size for place, (_, label) in enumerate(mixed))


def test_a_buffer_that_holds_everything_mixes_everything() -> None:
    samples = [(b"", label) for label in range(400)]
    places = [label for _, label in shuffled(iter(samples), 400, random.key_of(1, "test"))]
    assert abs(np.corrcoef(places, range(400))[0, 1]) < 0.25  # five deviations


def test_a_shard_of_which_nothing_was_kept_is_passed_over(tmp_path: Path) -> None:
    bench = Bench(LocalStorage(tmp_path))
    commits = [
        bench.make(spec(shards=3, laws={"damage": Constant(value=damage)}), n) for n, damage in enumerate((0, 1, 0))
    ]
    profile = Profile("test", "plan", PEOPLE, VIEWS, 32)
    bench.storage.replace(NAME, manifest_bytes(make_manifest(profile, commits, {})))
    assert [commit.kept for commit in commits] == [40, 0, 40]
    assert len(read(tmp_path)) == len(open_dataset(str(tmp_path))) == 80


@pytest.mark.parametrize(("rank", "world"), [(3, 3), (-1, 2), (0, 0)])
def test_a_rank_outside_the_world_is_refused(dataset_folder: Path, rank: int, world: int) -> None:
    with pytest.raises(ValueError, match=f"^rank {rank} is not in a world of {world}$"):
        open_dataset(str(dataset_folder), rank=rank, world=world)


def test_an_unfinished_or_damaged_dataset_is_refused_in_one_line(tmp_path: Path) -> None:
    bench = Bench(LocalStorage(tmp_path))
    bench.make(spec())
    with pytest.raises(DatasetError, match=r"^.* holds no finished dataset \(no dataset.json\); .*$"):
        open_dataset(str(tmp_path))
    (tmp_path / NAME).write_text("{}")
    with pytest.raises(DatasetError, match=r"^.*/dataset.json is damaged; hypersynth verify --drop-damaged, .*$"):
        open_dataset(str(tmp_path))
