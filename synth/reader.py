"""The reader: a finished dataset as a PyTorch iterable, ready for data-parallel training.

Every rank, and in it every loader worker, gets an equal share of the epoch to within one sample (equal exactly
between ranks), whatever the shards' sizes, so no run hangs at the end of an epoch; nothing is read twice. Shards are
taken in an order drawn for each epoch and pass through a shuffle buffer. This module does not know how the dataset
was made.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow.parquet as pq
import simplejpeg
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from samplers import random
from synth.dataset import Dataset, read_manifest
from synth.storage import Storage, open_storage


class Sample(NamedTuple):
    """One picture: uint8 (3, H, W) RGB when decoded, the JPEG's bytes when raw."""

    image: Tensor | bytes
    label: int


class Piece(NamedTuple):
    """Samples first .. last - 1 of one shard."""

    shard: int
    first: int
    last: int


def share(sizes: list[int], order: list[int], first: int, last: int) -> list[Piece]:
    """The pieces that make up samples first .. last - 1 of an epoch through shards of these sizes in this order."""
    pieces = []
    start = 0
    for shard in order:
        low, high = max(first - start, 0), min(last - start, sizes[shard])
        if low < high:
            pieces.append(Piece(shard, low, high))
        start += sizes[shard]
    return pieces


@dataclass(frozen=True)
class Reading:
    """How a dataset is read."""

    rank: int
    world: int
    seed: int
    buffer: int  # samples in the shuffle buffer; 0 reads in order
    decode: bool


class FaceDataset(IterableDataset[Sample]):
    """An iterable over this rank's share of a dataset; use it through `open_dataset`."""

    def __init__(self, storage: Storage, manifest: Dataset, reading: Reading) -> None:
        self.manifest = manifest
        self._storage = storage
        self._reading = reading
        self._sizes = [shard.samples for shard in manifest.shards]
        # Shared memory: loader workers that live through several epochs see the change.
        self._epoch: Tensor = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    @property
    def classes(self) -> int:
        """The number of labels: they run from 0 to classes - 1."""
        return self.manifest.classes

    def __len__(self) -> int:
        """Samples in this rank's epoch: the same for every rank, a remainder below `world` is left out."""
        return sum(self._sizes) // self._reading.world

    def set_epoch(self, epoch: int) -> None:
        """Choose the shuffle of the next pass."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[Sample]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        start = self._reading.rank * len(self)
        first, last = (start + len(self) * n // workers for n in (number, number + 1))
        epoch = int(self._epoch)
        pieces = share(self._sizes, self._shard_order(epoch), first, last)
        samples = (sample for piece in pieces for sample in self._read(piece))
        buffer = self._reading.buffer
        key = random.key_of(self._reading.seed, f"reader/{epoch}/{self._reading.rank}/{number}")
        for jpeg, label in shuffled(samples, buffer, key) if buffer else samples:
            yield Sample(decode_image(jpeg) if self._reading.decode else jpeg, label)

    def _shard_order(self, epoch: int) -> list[int]:
        shards = torch.arange(len(self._sizes))
        if self._reading.buffer and len(shards):
            shards = random.permute(random.key_of(self._reading.seed, f"reader/{epoch}"), shards, len(shards))
        return [int(shard) for shard in shards]

    def _read(self, piece: Piece) -> Iterator[tuple[bytes, int]]:
        record = self.manifest.shards[piece.shard]
        table = pq.read_table(
            io.BytesIO(self._storage.read(record.index.name)), columns=["identity", "offset", "size"]
        ).drop_null()
        rows = table.slice(piece.first, piece.last - piece.first)
        offsets, sizes = rows["offset"].to_pylist(), rows["size"].to_pylist()
        begin, end = offsets[0], offsets[-1] + sizes[-1]
        data = memoryview(self._storage.read_range(record.name, begin, end - begin))
        for label, offset, size in zip(rows["identity"].to_pylist(), offsets, sizes, strict=True):
            yield bytes(data[offset - begin : offset - begin + size]), label


def shuffled(samples: Iterator[tuple[bytes, int]], size: int, key: random.Key) -> Iterator[tuple[bytes, int]]:
    """The same samples through a buffer of `size`, each leaving from a random place in it, drawn under the key."""
    places = _places(key, size)
    buffer: list[tuple[bytes, int]] = []
    for sample in samples:
        if len(buffer) < size:
            buffer.append(sample)
            continue
        place = next(places)
        out, buffer[place] = buffer[place], sample
        yield out
    for remaining in range(len(buffer), 0, -1):
        yield buffer.pop(next(places) % remaining)


def _places(key: random.Key, size: int, block: int = 4096) -> Iterator[int]:
    """Endless random places in [0, size), drawn a block at a time."""
    number = 0
    while True:
        index = torch.tensor([[number, 0, 0]])
        yield from (random.uniforms(key, index, block)[0] * size).long().tolist()
        number += 1


def decode_image(jpeg: bytes) -> Tensor:
    """A JPEG as uint8 (3, H, W) RGB."""
    return torch.from_numpy(simplejpeg.decode_jpeg(jpeg)).permute(2, 0, 1).contiguous()


def open_dataset(
    url: str, *, rank: int = 0, world: int = 1, seed: int = 0, shuffle_buffer: int = 4096, decode: bool = True
) -> FaceDataset:
    """Open a finished dataset for reading by rank `rank` of `world`.

    Pass the result to a DataLoader, with as many workers as you like; call `set_epoch` before each epoch. `len()` and
    `.classes` are known at once. `shuffle_buffer=0` reads in stored order; `decode=False` yields JPEG bytes. Raises
    DatasetError where the dataset is not finished, ValueError for a rank outside the world.
    """
    if not 0 <= rank < world:
        raise ValueError(f"rank {rank} is not in a world of {world}")
    storage = open_storage(url)
    return FaceDataset(storage, read_manifest(storage), Reading(rank, world, seed, shuffle_buffer, decode))
