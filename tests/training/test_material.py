"""The material: which pictures a step has, that they are the dataset's own, and that readers change nothing."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jobs.recipe import load_recipe
from samplers.errors import DatasetError
from synth.reader import open_dataset
from synth.renderers.barcode import BarcodeRenderer
from synth.training.material import Material, Order, batches, open_material
from tests.conftest import build_here
from tests.training.conftest import CODES, PEOPLE, VIEWS

SLOW = settings(deadline=None, max_examples=25)
sizes = st.tuples(st.integers(1, 40), st.integers(3, 12), st.integers(1, 3), st.integers(0, 2**63 - 1))


@pytest.fixture(scope="module")
def material(codes: Path) -> Material:
    return open_material([str(codes)], BarcodeRenderer.attributes)


def whole(order: Order, steps: int) -> Tensor:
    """All rows of so many steps, one after the other."""
    return torch.cat([order.rows(step) for step in range(steps)])


@SLOW
@given(sizes)
def test_every_epoch_has_every_picture_once(drawn: tuple[int, int, int, int]) -> None:
    """Also where a batch holds more than an epoch."""
    pictures, share, world, seed = drawn
    order = Order(seed, pictures, share * world)
    rows = whole(order, math.ceil(2 * pictures / order.batch))
    for epoch in range(2):
        assert sorted(rows[epoch * pictures : (epoch + 1) * pictures].tolist()) == list(range(pictures))


@SLOW
@given(sizes, st.integers(0, 10**6))
def test_the_shares_of_all_processes_are_the_batch_of_one(drawn: tuple[int, int, int, int], step: int) -> None:
    pictures, share, world, seed = drawn
    shares = [Order(seed, pictures, share * world, rank, world).rows(step) for rank in range(world)]
    assert torch.equal(torch.cat(shares), Order(seed, pictures, share * world).rows(step))


def test_a_block_of_steps_is_its_steps() -> None:
    order = Order(5, 30, 8, 1, 2)
    assert torch.equal(order.block(3, 9), torch.stack([order.rows(step) for step in range(3, 12)]))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first, second = whole(Order(1, 100, 10), 20).view(2, 100)
    orders = [first, second, whole(Order(2, 100, 10), 10), torch.arange(100)]
    assert len({tuple(order.tolist()) for order in orders}) == 4


@pytest.mark.parametrize("loaders", [0, 1, 2])
def test_batches_are_those_of_their_steps_however_they_are_read(material: Material, loaders: int) -> None:
    order = Order(3, len(material), 14)  # an epoch is no whole number of steps
    state = torch.get_rng_state()
    found = list(batches(material, order, 4, 16, loaders))
    assert len(found) == 12
    for step, batch in enumerate(found, 4):
        due = material.examples(order.rows(step))
        assert torch.equal(batch.row, due.row)
        assert torch.equal(batch.images, due.images)
        assert (batch.images.dtype, batch.images.shape) == (torch.uint8, (14, 3, 112, 112))
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"


def test_rows_are_the_pictures_that_the_reader_gives(material: Material, codes: Path) -> None:
    for row, (image, label) in enumerate(open_dataset(str(codes), shuffle_buffer=0)):
        assert isinstance(image, Tensor)
        assert torch.equal(material.image(row), image)
        assert int(material.identity[row]) == label
    assert row == len(material) - 1 == PEOPLE * VIEWS - 1


def test_datasets_follow_one_another_with_people_of_their_own(codes: Path, other_codes: Path) -> None:
    both = open_material([str(codes), str(other_codes)], BarcodeRenderer.attributes)
    one, other = (open_material([str(folder)], BarcodeRenderer.attributes) for folder in (codes, other_codes))
    assert both.starts == [0, 96, 116]
    assert torch.equal(both.image(96), other.image(0))
    assert torch.equal(both.examples(torch.tensor([95, 115])).images[1], other.image(19))
    assert torch.equal(both.identity, torch.cat((one.identity, other.identity + PEOPLE)))
    assert torch.equal(both.anchors, torch.cat((one.anchors, other.anchors)))
    assert set(both.attributes) == {"damage", "tint"}
    assert torch.equal(both.attributes["tint"], torch.cat((one.attributes["tint"], other.attributes["tint"])))
    assert both.landmarks is None, "barcodes have none"


def test_material_that_does_not_go_together_is_refused(codes: Path, dataset_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has pictures of 32 px, not 112: build it with renderer\.size=112"):
        open_material([str(codes), str(dataset_folder)])
    with pytest.raises(DatasetError, match="holds no finished dataset"):
        open_material([str(tmp_path)])


def test_a_dataset_whose_pictures_were_all_rejected_is_refused(tmp_path: Path) -> None:
    never = [{"kind": "cosine_to_anchor", "encoder": "barcode", "min": 1}]
    build_here(load_recipe("barcode", {**CODES, "identities.count": 2, "checks.list": never}), tmp_path)
    with pytest.raises(DatasetError, match="has no pictures: all were rejected"):
        open_material([str(tmp_path)])
