"""What the networks of a recipe need of a machine: operations, and memory on a GPU. Decisions about it, in words.

All of it follows from the recipe's settings, without weights and without a GPU (`synth.cost`); what a machine has is
given as a number. This module asks no machine anything.
"""

from dataclasses import dataclass, replace

from jobs.recipe import Recipe
from jobs.wording import duration, gigabytes, pace
from samplers.errors import RecipeError
from synth.cost import Cost
from synth.encoder import encoder_class
from synth.renderer import renderer_class

#: What a CUDA context and the libraries' own workspaces hold on a GPU before any tensor is there, roughly.
CONTEXT_BYTES = 600_000_000

#: What GPUs of data centres may keep up in such networks, in round figures, to scale by: not a measurement of any.
SUSTAINED_TFLOPS = {"float32": 20, "bfloat16": 100, "float16": 100}


@dataclass(frozen=True)
class Needs:
    """What one worker takes; redraws are not counted."""

    cost: Cost  # of renderer and encoders together
    encoder_bytes: int  # of the parameters, those that are encoders'
    unknown: tuple[str, ...]  # encoders of which nothing is known, and nothing is counted

    @property
    def memory_bytes(self) -> int:
        """GPU memory of one worker."""
        return self.fixed_bytes + self.cost.peak_bytes_per_batch

    @property
    def fixed_bytes(self) -> int:
        """That part of it which no micro-batch changes."""
        return CONTEXT_BYTES + self.cost.parameter_bytes

    @property
    def made_up(self) -> str:
        """How the memory is made up, in words."""
        parts = {
            "the renderer's weights": self.cost.parameter_bytes - self.encoder_bytes,
            "encoders": self.encoder_bytes,
            "one micro-batch": self.cost.peak_bytes_per_batch,
            "CUDA itself": CONTEXT_BYTES,
        }
        listed = [f"{name} {gigabytes(amount)}" for name, amount in parts.items() if amount]
        return ", ".join([*listed, *(f"the encoder {name!r} not counted" for name in self.unknown)])


def needs(recipe: Recipe) -> Needs | None:
    """What a recipe's networks take; None for a renderer without one. Needs neither weights nor a device."""
    backend, known = recipe.backend, {}
    for name in recipe.renderer.used_encoders:
        settings = recipe.used_encoders[name]
        if (cost := encoder_class(settings.kind).cost(settings, backend, gradients=True)) is not None:
            known[name] = cost
    total = renderer_class(recipe.renderer.kind).cost(recipe.renderer, backend, known)
    if total is None:
        return None
    encoder_bytes, unknown = 0, []
    for name, settings in recipe.used_encoders.items():
        look = encoder_class(settings.kind).cost(settings, backend)
        if look is None:
            unknown.append(name)
            continue
        if name not in recipe.checks.encoders:  # the renderer's looks are in its own cost
            look = replace(look, flops_per_picture=0.0, peak_bytes_per_batch=0)
        total, encoder_bytes = total.then(look), encoder_bytes + look.parameter_bytes
    return Needs(total, encoder_bytes, tuple(unknown))


def refuse_small_gpu(wanted: Needs, gpu_bytes: int, micro_batch: int, workers: int = 1) -> None:
    """Raises RecipeError where a GPU's memory does not hold so many workers, each with such a micro-batch.

    The message says how the estimate is made up, and the largest micro-batch that would fit, if any does: what a
    micro-batch takes is proportional to its size.
    """
    if workers * wanted.memory_bytes <= gpu_bytes:
        return
    spare = gpu_bytes / workers - wanted.fixed_bytes
    fitting = int(micro_batch * spare / max(wanted.cost.peak_bytes_per_batch, 1))
    changes = ["let fewer workers share a GPU (resources.gpus_per_worker, --workers)"] if workers > 1 else []
    if fitting >= 1:
        changes.append(f"lower backend.micro_batch: about {fitting} would fit")
    change = ", or ".join(changes) or "not even a micro-batch of 1 would fit: use a larger GPU, or smaller networks"
    whose = f"{workers} workers on one GPU need" if workers > 1 else "the recipe needs"
    each = " each" if workers > 1 else ""
    raise RecipeError(
        f"{whose} about {gigabytes(workers * wanted.memory_bytes)} GB of GPU memory at backend.micro_batch "
        f"{micro_batch} (in GB{each}: {wanted.made_up}), this GPU has {gigabytes(gpu_bytes)} GB: {change}"
    )


def without_gpu(recipe: Recipe) -> str:
    """What to type where there is no GPU."""
    half = " --set backend.dtype=float32" if recipe.backend.dtype != "float32" else ""
    return f"--allow-cpu goes on without, or --set backend.device=cpu{half}"


def gpu_memory(wanted: Needs, micro_batch: int) -> str:
    """The GPU memory of one worker, in words."""
    return (
        f"about {gigabytes(wanted.memory_bytes)} GB for one worker at backend.micro_batch {micro_batch} "
        f"(in GB: {wanted.made_up})"
    )


def operations(wanted: Needs) -> str:
    """The operations of one picture, in words."""
    unknown = "".join(f"; the encoder {name!r} not counted" for name in wanted.unknown)
    amount = wanted.cost.flops_per_picture / 1e12
    return f"{amount:.3g} TFLOP for each picture: matrix products, convolutions, attention; no redraws{unknown}"


def gpu_time(wanted: Needs, pictures: int, dtype: str) -> str:
    """How long one GPU would take that sustains a round figure, in words that say so."""
    rate = SUSTAINED_TFLOPS[dtype]
    took = duration(pictures * wanted.cost.flops_per_picture / (rate * 1e12))
    return f"about {took} on one GPU that sustains {rate} TFLOP/s in {dtype}: a round figure, not measured"


def cpu_pace(wanted: Needs, pictures: int, rate: float, threads: int) -> str:
    """How slow a CPU would be that does `rate` operations/s in its fastest kernels, with so many threads, in words.

    No network keeps that rate up wholly, hence "at best".
    """
    speed = rate / wanted.cost.flops_per_picture
    took = duration(pictures / speed)
    cores = f"{threads} thread{'s' if threads > 1 else ''}"
    return f"on this machine's CPU ({cores}) {pictures:,} pictures would take about {took}, at {pace(speed)} at best"
