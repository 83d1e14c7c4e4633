"""Vec2Face at its published size, with random weights: pictures/s of a whole build over those of a plain loop.

The plain loop calls the same network as the published script does: whole batches, layers as they stand, every picture
saved by imageio as it comes. It is given more than the script gives itself: no autograd, and our own kernels' thread
count. The build draws vectors, makes JPEGs at quality 95, packs, hashes, commits and seals. Both sides have the same
weights, precision and threads; random weights cost what trained ones do.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import imageio.v3 as imageio
import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor

from bench.measure import Measurement, seconds
from cluster.run import Crew
from jobs.build import build
from jobs.progress import ProgressWatch
from jobs.recipe import Recipe, load_recipe
from synth.renderers.vec2face.masking import PLACES, token_mask
from synth.renderers.vec2face.network import FEATURE_DIMENSION, SIZES, FeatureAutoencoder
from synth.renderers.vec2face.quick import quicken

_PICTURES, _THREADS, _BATCH = 128, 1, 16
_FEATURE_NORM = 21.9  # of the features that the published network was trained on


def _weights(folder: Path) -> Path:
    """A file of random weights of the published size, drawn as torch initialises layers."""
    torch.manual_seed(1)
    save_file(FeatureAutoencoder(SIZES["base"]).state_dict(), folder / "base.safetensors")
    return folder / "base.safetensors"


def _recipe(weights: Path) -> Recipe:
    people = 8
    return load_recipe(
        "barcode",
        {
            "identities.count": people,
            "variations.views": _PICTURES // people,
            "variations.vector": {"kind": "gaussian_mixture"},
            "renderer": {"kind": "vec2face", "weights": str(weights), "feature_norm": _FEATURE_NORM},
            "checks.list": [],
            "output.shard_size": _PICTURES,
            "backend": {"micro_batch": _BATCH, "threads": _THREADS},
        },
    )


def _built_seconds(recipe: Recipe, folder: Path) -> float:
    """How long the shards of a build take, from opening the weights to the last commit."""
    with ProgressWatch(Console(quiet=True)) as watch:
        return seconds(lambda: build(recipe, str(folder), Crew(0), watch))


def _features(count: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(count, FEATURE_DIMENSION), dim=1) * _FEATURE_NORM


def _plain_seconds(weights: Path, folder: Path) -> float:
    """The plain loop: how long it takes from opening the weights to the last picture."""
    from safetensors.torch import load_file

    torch.set_num_threads(_THREADS)
    features = _features(_PICTURES)
    start = time.perf_counter()
    network = FeatureAutoencoder(SIZES["base"])
    network.load_state_dict(load_file(weights))
    network.eval()
    with torch.no_grad():
        for first in range(0, _PICTURES, _BATCH):
            mask = token_mask(torch.rand(_BATCH, PLACES), torch.full((_BATCH,), 0.3), 0.1)
            images = network(features[first : first + _BATCH], mask)
            pixels = ((images.permute(0, 2, 3, 1).numpy() + 1) / 2 * 255).clip(0, 255).astype("uint8")
            for row, picture in enumerate(pixels):
                imageio.imwrite(folder / f"{first + row:03d}.jpg", picture)
    return time.perf_counter() - start


def _stages() -> dict[str, float]:
    """Seconds a picture of the quickened network, by part, and of the plain one."""
    torch.set_num_threads(_THREADS)
    torch.manual_seed(1)
    network, features = FeatureAutoencoder(SIZES["base"]).eval(), _features(_BATCH)
    mask = token_mask(torch.rand(_BATCH, PLACES), torch.full((_BATCH,), 0.3), 0.1)
    found: dict[str, float] = {}
    with torch.inference_mode():
        for state in ("plain", "quick"):
            if state == "quick":
                quicken(network)
            kept = network.encode(features, mask)
            latent = network.decode(kept, mask, None)
            grid = latent.transpose(1, 2).reshape(_BATCH, -1, 7, 7)
            parts: dict[str, Callable[[], Tensor]] = {
                "encoder": partial(network.encode, features, mask),
                "decoder": partial(network.decode, kept, mask, None),
                "pixels": partial(network.im_decoder, grid),
            }
            for part, work in parts.items():
                work()
                found[f"{state} {part}"] = min(seconds(work) for _ in range(3)) / _BATCH
    return found


def measure() -> list[Measurement]:
    """The ratio, the two rates, and where the time goes."""
    before = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = _weights(folder)
        recipe = _recipe(weights)
        (folder / "plain").mkdir()
        rounds = []
        for attempt in range(3):  # alternately, so that a busy machine slows both
            plain = _plain_seconds(weights, folder / "plain")
            rounds.append((plain, _built_seconds(recipe, folder / f"built{attempt}")))
    stages = _stages()
    torch.set_num_threads(before)
    plain, built = sorted(rounds, key=lambda pair: pair[0] / pair[1])[1]
    note = f"{_PICTURES} pictures, float32, {_THREADS} thread, micro-batches of {_BATCH}; median of 3 rounds"
    return [
        Measurement("Vec2Face: a whole build over the plain loop", plain / built, "x", 1.3, note=note, detail=stages),
        Measurement("Vec2Face: a whole build", _PICTURES / built, "pictures/s"),
        Measurement("Vec2Face: the plain loop", _PICTURES / plain, "pictures/s"),
        *(Measurement(f"Vec2Face: {part}", took * 1e3, "ms/picture") for part, took in stages.items()),
    ]
