"""What the training of the diffusion renderer teaches: pixels, likeness, a sketch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from synth.training.diffusion import DiffusionTrainee
from synth.training.loop import moment_at
from tests.training.learners import DIFFUSION, material_of, mean_loss


def test_the_loss_falls_on_few_pictures(heads: Path, encoder: Path, tmp_path: Path) -> None:
    settings = DIFFUSION.wanting(heads, encoder, steps=40, batch=12, rate={"peak": 1e-2, "warm_up": 0.1}, likeness=0.0)
    material = material_of(settings)
    trainee = DiffusionTrainee(settings, material, tmp_path)
    examples = material.examples(torch.arange(12))
    found = [trainee.step(examples, moment_at(settings, step)) for step in range(40)]
    for name in ("loss", "pixel"):
        assert mean_loss(found[-5:], name) < 0.7 * mean_loss(found[:5], name), name


@pytest.mark.parametrize("weight", ["likeness", "features", "attributes"])
def test_what_is_seen_in_pictures_counts_from_its_time_on(
    weight: str, heads: Path, encoder: Path, tmp_path: Path
) -> None:
    settings = DIFFUSION.wanting(heads, encoder, steps=10, likeness_from=0.5, likeness_share=0.5)
    material = material_of(settings)
    examples = material.examples(torch.arange(8))

    def after(step: int, **changes: Any) -> tuple[dict[str, Tensor], Tensor]:
        wanted = settings.model_copy(update=changes)
        trainee = DiffusionTrainee(wanted, material, tmp_path)
        found = trainee.step(examples, moment_at(wanted, step))
        return found, trainee.network.unet.conv_out.weight.detach()

    early, late = after(4), after(5)
    seen = {"cosine", "features", "unread"}
    assert not seen & early[0].keys()
    assert seen < late[0].keys()
    assert -1 <= float(late[0]["cosine"]) <= 1
    assert not torch.equal(late[1], after(5, **{weight: 0.0})[1])


def test_a_sketch_learns_beside(heads: Path, encoder: Path, tmp_path: Path) -> None:
    settings = DIFFUSION.wanting(
        heads, encoder, steps=40, likeness_from=0.0, drop_identity=0.0, drop_attributes=0.0, means=0.0,
        rate={"peak": 1e-2, "warm_up": 0.1},
    )  # fmt: skip
    material = material_of(settings)
    trainee = DiffusionTrainee(settings, material, tmp_path)
    examples = material.examples(torch.arange(8))
    found = [trainee.step(examples, moment_at(settings, step)) for step in range(40)]
    for name in ("sketch", "misread"):
        assert mean_loss(found[-5:], name) < 0.9 * mean_loss(found[:5], name), name
    assert {"unread_sketch", "cosine_sketch"} < found[0].keys()
    alone = settings.model_copy(update={"likeness": 0.0})
    assert "cosine_sketch" not in DiffusionTrainee(alone, material, tmp_path).step(examples, moment_at(alone, 0))
    none = DIFFUSION.wanting(heads, encoder, shape={**DIFFUSION.small["shape"], "sketch": 0})
    assert "sketch" not in DiffusionTrainee(none, material, tmp_path).step(examples, moment_at(none, 0))


def test_it_learns_in_float32_too(heads: Path, encoder: Path, tmp_path: Path) -> None:
    """Nothing is changed in place that the way back still needs: in bfloat16 copies would hide it."""
    settings = DIFFUSION.wanting(heads, encoder, dtype="float32")
    material = material_of(settings)
    found = DiffusionTrainee(settings, material, tmp_path).step(
        material.examples(torch.arange(8)), moment_at(settings, 0)
    )
    assert all(bool(value.isfinite()) for value in found.values())


def test_what_is_exported_is_the_average(heads: Path, encoder: Path, tmp_path: Path) -> None:
    settings = DIFFUSION.wanting(heads, encoder)
    material = material_of(settings)
    trainee = DiffusionTrainee(settings, material, tmp_path)
    for step in range(3):
        trainee.step(material.examples(torch.arange(8)), moment_at(settings, step))
    exported, last = trainee.weights(), trainee.network.state_dict()
    assert exported.keys() == last.keys()
    assert not torch.equal(exported["unet.conv_in.weight"], last["unet.conv_in.weight"])
