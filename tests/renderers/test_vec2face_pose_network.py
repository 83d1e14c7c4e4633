"""The pose network: the published one by names, shapes and numbers, fed as Vec2Face feeds it, and its yaw."""

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from samplers.errors import DatasetError, StorageError
from synth.renderers.vec2face.pose_network import (
    PoseNetwork,
    open_pose_network,
    preflight_pose_network,
    yaw_deg,
)
from synth.section import InputFile
from tests.golden import wave

# Of thohemp/6DRepNet, `SixDRepNet("RepVGG-B1g2", "", deploy=True, pretrained=False)`.
TENSORS, NUMBERS = 58, 39_323_398
# What its network in float64, `[:, [2, 1, 0]]` and `(x + 1) / 2` before it and its Euler angles after it, gives for
# weights by `filled` and the pictures `wave((1, 3, 112, 112), k)`, k = 0.37 and 0.011.
PUBLISHED_YAW_DEG = [-2.9552602767944336, -2.2517757415771484]


def shapes() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(entry.shape) for name, entry in PoseNetwork().state_dict().items()}


def filled(name: str, shape: tuple[int, ...]) -> Tensor:
    index = torch.arange(math.prod(shape))
    value = (0.7311 * (index * index % 10007) + zlib.crc32(name.encode()) % 1000 / 7).sin().view(shape)
    return 2 * value / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.05 * value


def flat() -> dict[str, Tensor]:
    """Weights that are one number each, on the disk too."""
    return {name: torch.zeros(1).expand(shape) for name, shape in shapes().items()}


def saved(path: Path, holds: Any) -> InputFile:
    torch.save(holds, path)
    return InputFile(url=str(path))


class Given(nn.Module):
    """Columns (B, 6) whatever the picture."""

    def __init__(self, columns: Tensor) -> None:
        super().__init__()
        self.columns = nn.Parameter(columns)

    def forward(self, x: Tensor) -> Tensor:
        return self.columns


def yaw_of(columns: Tensor) -> Tensor:
    """Degrees (B,) of the columns (B, 6)."""
    with torch.no_grad():
        return yaw_deg(Given(columns), torch.zeros(len(columns), 3, 8, 8, dtype=columns.dtype))


def seeing(channel: int) -> nn.Module:
    """A network whose yaw is the arc tangent of one channel's mean, by the channel's place as it is fed."""
    look = nn.Conv2d(3, 6, 1, dtype=torch.float64).requires_grad_(False)
    look.weight.zero_()
    look.weight[2, channel] = -1
    look.bias = nn.Parameter(torch.tensor([1.0, 0, 0, 0, 1, 0], dtype=torch.float64), requires_grad=False)
    return nn.Sequential(look, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_it_has_the_published_names_and_shapes() -> None:
    # Layer by layer: one block, then 4, 6, 16 and 1; every second after the first sees half the channels.
    widths = [64] + 4 * [128] + 6 * [256] + 16 * [512] + [2048]
    names = ["layer0"] + [f"layer{at}.{block}" for at, blocks in enumerate((4, 6, 16, 1), 1) for block in range(blocks)]
    due: dict[str, tuple[int, ...]] = {}
    for number, (name, width) in enumerate(zip(names, widths, strict=True)):
        seen = 3 if number == 0 else widths[number - 1] // (2 if number % 2 == 0 else 1)
        due[f"{name}.rbr_reparam.weight"], due[f"{name}.rbr_reparam.bias"] = (width, seen, 3, 3), (width,)
    due |= {"linear_reg.weight": (6, 2048), "linear_reg.bias": (6,)}
    assert list(shapes().items()) == list(due.items())
    assert (len(due), sum(map(math.prod, due.values()))) == (TENSORS, NUMBERS)


def test_it_computes_what_the_published_one_computes(tmp_path: Path) -> None:
    weights = {name: filled(name, shape) for name, shape in shapes().items()}
    network = open_pose_network(saved(tmp_path / "w.pth", weights), "cpu")
    (tmp_path / "w.pth").unlink()
    pixels = torch.cat([wave((1, 3, 112, 112), k) for k in (0.37, 0.011)]).requires_grad_()
    yaw = yaw_deg(network, pixels)
    assert yaw.dtype == torch.float32
    assert yaw.tolist() == pytest.approx(PUBLISHED_YAW_DEG, abs=1e-3)
    # Gradients reach the pixels, of every channel, and no weight.
    (gradient,) = torch.autograd.grad(yaw[0], pixels)
    assert bool(gradient.isfinite().all())
    assert gradient[0].abs().amax((1, 2)).min() > 0
    assert not gradient[1].any()
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())


def about(axis: int, angle_deg: float) -> Tensor:
    """The right-handed rotation (3, 3) about an axis."""
    angle, (first, second) = math.radians(angle_deg), ((axis + 1) % 3, (axis + 2) % 3)
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
    return matrix


LENGTHS = st.floats(0.01, 100)
ANGLES_DEG = st.floats(-180, 180)


@settings(deadline=None)
@given(st.sampled_from(range(-80, 81, 10)), ANGLES_DEG, ANGLES_DEG, LENGTHS, LENGTHS, st.floats(-10, 10))
def test_the_yaw_of_a_known_rotation_is_found(
    yaw: int, pitch: float, roll: float, first: float, second: float, askew: float
) -> None:
    rotation = about(2, roll) @ about(1, yaw) @ about(0, pitch)
    columns = torch.cat((first * rotation[:, 0], second * rotation[:, 1] + askew * rotation[:, 0]))[None]
    assert yaw_of(columns).item() == pytest.approx(yaw, abs=1e-6)


def gram_schmidt(columns: Tensor) -> Tensor:
    """Rotations (B, 3, 3) as the published code makes them."""
    x = nn.functional.normalize(columns[:, :3])
    z = nn.functional.normalize(torch.linalg.cross(x, columns[:, 3:]))
    return torch.stack((x, torch.linalg.cross(z, x), z), 2)


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-10, 10), min_size=6, max_size=6), min_size=1, max_size=4))
def test_it_is_that_of_the_whole_matrix(rows: list[list[float]]) -> None:
    columns = torch.tensor(rows, dtype=torch.float64)
    rotation = gram_schmidt(columns)
    spans = torch.linalg.cross(columns[:, :3], columns[:, 3:]).norm(dim=1) > 1e-6
    rotation, columns = rotation[spans], columns[spans]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3, dtype=torch.float64).expand_as(rotation))
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(len(rotation), dtype=torch.float64))
    published = torch.atan2(-rotation[:, 2, 0], (rotation[:, 0, 0] ** 2 + rotation[:, 1, 0] ** 2).sqrt())
    torch.testing.assert_close(yaw_of(columns), torch.rad2deg(published))


@pytest.mark.parametrize("sign", [-1, 1])
def test_at_a_right_angle_the_yaw_ends_and_its_gradient_stays_finite(sign: int) -> None:
    network = Given(torch.tensor([[0.0, 0, -2 * sign, 0, 1, 0], [1e-9, 0, -2 * sign, 0, 1, 0], [0, 0, 0, 0, 0, 0]]))
    yaw = yaw_deg(network, torch.zeros(3, 3, 8, 8))
    assert yaw.tolist() == pytest.approx([90 * sign, 90 * sign, 0])
    assert yaw.abs().max() <= 90
    (gradient,) = torch.autograd.grad(yaw.sum(), network.columns)
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize(("fed", "channel"), [(0, 2), (1, 1), (2, 0)])
def test_pictures_are_fed_in_bgr_from_0_to_1(fed: int, channel: int) -> None:
    levels = torch.linspace(-1, 1, 5, dtype=torch.float64)
    pixels = torch.full((5, 3, 4, 4), 0.3, dtype=torch.float64)
    pixels[:, channel] = levels[:, None, None]
    due = torch.rad2deg(((levels + 1) / 2).atan())
    torch.testing.assert_close(yaw_deg(seeing(fed), pixels), due)


def test_gradients_are_the_slopes() -> None:
    pixels = wave((2, 3, 4, 4), 0.37).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda pixels: yaw_deg(seeing(0), pixels), pixels)
    (gradient,) = torch.autograd.grad(yaw_deg(seeing(0), pixels).sum(), pixels)
    assert gradient.abs().amax((0, 2, 3)).gt(0).tolist() == [False, False, True]


@pytest.mark.parametrize("key", ["model_state_dict", "state_dict"])
def test_weights_are_found_in_a_checkpoint(tmp_path: Path, key: str) -> None:
    file = saved(tmp_path / "w.pth", {"epoch": 3, key: flat(), "optimizer_state_dict": {"state": {}}})
    preflight_pose_network(file)
    assert yaw_deg(open_pose_network(file, "cpu"), torch.zeros(1, 3, 112, 112)).tolist() == [0]


def without(weights: dict[str, Tensor]) -> None:
    del weights["layer2.3.rbr_reparam.bias"]


def too_many(weights: dict[str, Tensor]) -> None:
    weights["linear.weight"] = torch.zeros(1)


def ungrouped(weights: dict[str, Tensor]) -> None:
    weights["layer1.1.rbr_reparam.weight"] = torch.zeros(1).expand(128, 128, 3, 3)


def of_a_training(weights: dict[str, Tensor]) -> None:
    for name in list(weights):
        weights[name.replace("rbr_reparam", "rbr_dense.conv")] = weights.pop(name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without, "missing: layer2.3.rbr_reparam.bias"),
        (too_many, "extra: linear.weight"),
        (ungrouped, "misshapen: layer1.1.rbr_reparam.weight [128, 128, 3, 3] for [128, 64, 3, 3]"),
        (of_a_training, "extra: layer0.rbr_dense.conv.weight"),
    ],
)
def test_other_weights_are_refused(tmp_path: Path, change: Callable[[dict[str, Tensor]], None], said: str) -> None:
    weights = flat()
    change(weights)
    file = saved(tmp_path / "w.pth", weights)
    for refusing in (preflight_pose_network, lambda file: open_pose_network(file, "cpu")):
        with pytest.raises(DatasetError) as refused:
            refusing(file)
        assert str(refused.value).startswith(f"{file.url} does not fit the network ({TENSORS} tensors are due)")
        assert said in str(refused.value)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    file = saved(tmp_path / "w.pth", flat() | {"linear_reg.bias": torch.full((6,), math.nan)})
    for refuse in (preflight_pose_network, lambda each: open_pose_network(each, "cpu")):
        with pytest.raises(DatasetError, match=r"linear_reg\.bias has numbers that are not finite"):
            refuse(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone\.pth"):
        preflight_pose_network(InputFile(url=str(tmp_path / "gone.pth")))
