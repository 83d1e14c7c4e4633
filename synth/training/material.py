"""What a training learns from: the pictures of one or more datasets, in batches that seed and step alone decide.

Pictures are read and decoded in other processes, ahead of the training. Since step n always has the same pictures, a
training that was interrupted goes on as if it had not been. This module does not know what is learned.

Shapes: n pictures in all, B in a batch, I identities in all, D dimensions, H x H pixels.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from samplers import random
from samplers.attributes import Attribute
from samplers.errors import DatasetError
from synth.encoders.conventions import SIDE_PX
from synth.pictures import Pictures, open_pictures
from synth.storage import sha256

_AHEAD = 4  # batches that each loader prepares
_BLOCK = 16  # steps whose order is worked out at a time
_DECODED_AT_ONCE = 256


@dataclass(frozen=True)
class Examples:
    """B pictures, and which they are."""

    images: Tensor  # uint8 (B, 3, H, H), RGB
    row: Tensor  # int64 (B,), in the material


@dataclass(frozen=True)
class Material:
    """Datasets one after the other; people of different datasets are different people."""

    parts: tuple[Pictures, ...]

    @cached_property
    def starts(self) -> list[int]:
        """The first row of each dataset, and behind them the number of all rows."""
        starts = [0]
        for part in self.parts:
            starts.append(starts[-1] + len(part.table))
        return starts

    def __len__(self) -> int:
        return self.starts[-1]

    @property
    def contents(self) -> tuple[str, ...]:
        """Of each dataset, the sha256 of those of its shards: other bytes, other contents."""
        return tuple(sha256("/".join(each.sha256 for each in part.manifest.shards).encode()) for part in self.parts)

    @cached_property
    def identity(self) -> Tensor:
        """Who each picture shows: int64 (n,)."""
        labels, first = [], 0
        for part in self.parts:
            labels.append(part.table.identity + first)
            first += len(part.anchors)
        return torch.cat(labels)

    @cached_property
    def anchors(self) -> Tensor:
        """The unit vectors that people were made from: float32 (I, D)."""
        return torch.cat([part.anchors for part in self.parts])

    @cached_property
    def attributes(self) -> dict[str, Tensor]:
        """The attributes that all datasets record, (n,) each."""
        tables = [part.table.attributes for part in self.parts]
        common = [name for name in tables[0] if all(name in table for table in tables)]
        return {name: torch.cat([table[name] for table in tables]) for name in common}

    @cached_property
    def landmarks(self) -> Tensor | None:
        """Five points of every picture, in pixels: float32 (n, 5, 2); None unless all datasets have them."""
        points = [part.table.landmarks for part in self.parts if part.table.landmarks is not None]
        return torch.cat(points) if len(points) == len(self.parts) else None

    def image(self, row: int) -> Tensor:
        """One picture: uint8 (3, H, H), RGB."""
        part = next(number for number, start in enumerate(self.starts[1:]) if row < start)
        return self.parts[part].image(row - self.starts[part])

    def examples(self, rows: Tensor) -> Examples:
        """These pictures."""
        return Examples(torch.stack([self.image(row) for row in rows.tolist()]), rows)


def open_material(urls: Sequence[str], declared: Mapping[str, Attribute] | None = None) -> Material:
    """The datasets at some URLs, with the declared attributes that they record.

    Raises DatasetError where one is not finished or empty, has pictures of another size than networks of our own are
    made for, or has people of another dimension than the first.
    """
    parts = tuple(open_pictures(url, declared or {}) for url in urls)
    first = parts[0]
    for url, part in zip(urls, parts, strict=True):
        if not len(part.table):
            raise DatasetError(f"{url} has no pictures: all were rejected")
        if part.manifest.picture_size_px != SIDE_PX:
            raise DatasetError(
                f"{url} has pictures of {part.manifest.picture_size_px} px, not {SIDE_PX}: build it with "
                f"renderer.size={SIDE_PX}"
            )
        if part.anchors.shape[1] != first.anchors.shape[1]:
            raise DatasetError(f"{url} has people of another renderer than {urls[0]}: their vectors differ in length")
    return Material(parts)


@dataclass(frozen=True)
class Order:
    """Which pictures each step has: all of them once, in an order of its own, in every epoch."""

    seed: int
    pictures: int
    batch: int  # over all processes
    rank: int = 0
    world: int = 1

    def rows(self, step: int) -> Tensor:
        """The pictures of this process at a step: int64 (batch / world,)."""
        return self.block(step, 1)[0]

    def block(self, first: int, steps: int) -> Tensor:
        """The same of several steps, which takes little longer than one: int64 (steps, batch / world)."""
        share = self.batch // self.world
        place = (first + torch.arange(steps))[:, None] * self.batch + self.rank * share + torch.arange(share)
        rows = torch.empty_like(place)
        for epoch in range(int(place[0, 0]) // self.pictures, int(place[-1, -1]) // self.pictures + 1):
            here = place // self.pictures == epoch
            key = random.key_of(self.seed, f"training/epoch/{epoch}")
            rows[here] = random.permute(key, place[here] % self.pictures, self.pictures)
        return rows


class _Steps(Dataset[Examples]):
    """The batches of a training, by step."""

    def __init__(self, material: Material, order: Order) -> None:
        self._material, self._order = material, order
        self._first, self._rows = 0, torch.empty(0, 0, dtype=torch.int64)  # of a block of steps, once asked for

    def __getitem__(self, step: int) -> Examples:
        if step // _BLOCK * _BLOCK != self._first or not len(self._rows):
            self._first = step // _BLOCK * _BLOCK
            self._rows = self._order.block(self._first, _BLOCK)
        return self._material.examples(self._rows[step - self._first])


class _Rows(Dataset[Tensor]):
    """All pictures in the order of their rows, some at a time."""

    def __init__(self, material: Material, count: int) -> None:
        self._material, self._count = material, count

    def __getitem__(self, part: int) -> Tensor:
        rows = range(part * self._count, min((part + 1) * self._count, len(self._material)))
        return torch.stack([self._material.image(row) for row in rows])


def batches(material: Material, order: Order, first: int, last: int, loaders: int) -> Iterator[Examples]:
    """The batches of steps first .. last - 1, decoded ahead by so many other processes."""
    return _ahead(_Steps(material, order), range(first, last), loaders)


def held_batches(pictures: Tensor, order: Order, first: int, last: int) -> Iterator[Examples]:
    """The same batches, of pictures that are all decoded: uint8 (n, 3, H, H), on whatever device."""
    for begin in range(first, last, _BLOCK):
        for rows in order.block(begin, min(_BLOCK, last - begin)).to(pictures.device):
            yield Examples(pictures[rows], rows)


def every_picture(material: Material, count: int, loaders: int) -> Iterator[Tensor]:
    """All pictures in the order of their rows, so many at a time: uint8 (count or fewer, 3, H, H)."""
    return _ahead(_Rows(material, count), range(-(-len(material) // count)), loaders)


def decoded(material: Material, device: torch.device | str, loaders: int) -> Tensor:
    """All pictures on a device: uint8 (n, 3, H, H); 38 kB each at 112 px."""
    side = material.parts[0].manifest.picture_size_px
    held = torch.empty(len(material), 3, side, side, dtype=torch.uint8, device=device)
    done = 0
    for images in every_picture(material, _DECODED_AT_ONCE, loaders):
        held[done : done + len(images)] = images.to(device)
        done += len(images)
    return held


_Item = TypeVar("_Item")


def _ahead(items: Dataset[_Item], numbers: range, loaders: int) -> Iterator[_Item]:
    """Some of the items, prepared ahead by so many other processes."""
    loader = DataLoader(
        items,
        batch_size=None,
        sampler=numbers,
        num_workers=loaders,
        prefetch_factor=_AHEAD if loaders else None,
        worker_init_fn=_alone,
        generator=torch.Generator(),  # or else the loader takes a number from the global one
    )
    return iter(loader)


def _alone(loader: int) -> None:
    """Keep Ctrl-C and the like from a loader's process: it ends when the training does."""
    os.setpgid(0, 0)
