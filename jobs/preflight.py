"""Before a build takes a GPU or a folder: the device, and every file that renderer and encoders will need.

What is wrong is told in one line that says what to change. Files are looked at on the CPU, names and shapes alone. This
module stores nothing, and does not know what is built afterwards; what a recipe needs is `jobs.needs`' business.
"""

from collections.abc import Iterable

import torch

from cluster.hands import cores
from cluster.run import Crew
from jobs.needs import cpu_pace, needs, refuse_small_gpu, without_gpu
from jobs.recipe import Recipe
from samplers.errors import RecipeError
from synth.checks import compares_anchors
from synth.cost import cpu_rate
from synth.encoder import encoder_class
from synth.encoders.settings import TrainedSettings
from synth.renderer import renderer_class


def preflight(recipe: Recipe, crew: Crew) -> None:
    """Refuse what would fail later, after a search for identities, or on a GPU.

    The device is that of this machine, unless the crew works on a cluster. Raises RecipeError for a device that is not
    there or too small and for encoders that do not fit, StorageError, DatasetError and MissingPackageError as the
    preflights of renderer and encoders do.
    """
    check_device(recipe, crew)
    check_files(recipe, recipe.used_encoders)


def check_device(recipe: Recipe, crew: Crew) -> None:
    """Raises RecipeError where the recipe wants a GPU that this machine does not have, or a larger one."""
    if recipe.backend.device == "cpu" or crew.address is not None:
        return
    gpu_bytes, wanted = smallest_gpu_bytes(), needs(recipe)
    if gpu_bytes is None:
        how_slow = ""
        if wanted is not None:
            threads = cpu_threads(recipe, crew)
            pictures = recipe.identities.count * recipe.variations.views
            how_slow = f"; {cpu_pace(wanted, pictures, cpu_rate(threads), threads)}"
        raise RecipeError(
            f"backend.device is cuda, but this machine shows no CUDA device{how_slow}; {without_gpu(recipe)}"
        )
    if wanted is not None:
        refuse_small_gpu(wanted, gpu_bytes, recipe.backend.micro_batch, workers_on_a_gpu(crew))


def check_files(recipe: Recipe, names: Iterable[str]) -> None:
    """Look at the files of the renderer, and of the encoders with these names, and hold them against each other.

    Raises as `preflight`.
    """
    drawing = renderer_class(recipe.renderer.kind)
    drawing.preflight(recipe.renderer)
    wanted, encoder = drawing.vector_dimension(recipe.renderer), drawing.vector_encoder(recipe.renderer)
    for name in names:
        settings = recipe.used_encoders[name]
        dimension = encoder_class(settings.kind).preflight(settings)
        users = _comparing(recipe, name)
        if users and dimension != wanted:
            raise RecipeError(
                f"the encoder {name!r} gives {dimension} numbers, people of the renderer {recipe.renderer.kind} have "
                f"{wanted}: {users} cannot compare them; use an encoder of {wanted}"
            )
        if users and encoder and isinstance(settings, TrainedSettings) and settings.weights.pinned().sha256 != encoder:
            raise RecipeError(
                f"the encoder {name!r} is another than the renderer was trained with (sha256 {encoder[:12]}): {users} "
                "cannot compare them; use that one"
            )


def _comparing(recipe: Recipe, name: str) -> str:
    """Who holds an encoder's embeddings against people's vectors, in words; empty where nobody does."""
    users = [f"the check {each.kind}" for each in recipe.checks.list if each.encoder == name and compares_anchors(each)]
    if name in recipe.renderer.anchor_encoders:
        users.append("renderer.optimise.identity")
    return " and ".join(users)


def allowing_cpu(recipe: Recipe, address: str | None) -> Recipe:
    """The recipe as it can be built without a GPU, where there is none: on the CPU, in float32; another plan.

    It stays as it is where this machine has a GPU, and where the work goes to a cluster.
    """
    if recipe.backend.device == "cpu" or address is not None or smallest_gpu_bytes() is not None:
        return recipe
    backend = recipe.backend.model_copy(update={"device": "cpu", "dtype": "float32"})
    resources = recipe.resources.model_copy(update={"gpus_per_worker": 0.0})
    return recipe.model_copy(update={"backend": backend, "resources": resources})


def smallest_gpu_bytes() -> int | None:
    """The memory of this machine's smallest CUDA device; None where there is none."""
    if not torch.cuda.is_available():
        return None
    return min(torch.cuda.get_device_properties(at).total_memory for at in range(torch.cuda.device_count()))


def cpu_threads(recipe: Recipe, crew: Crew) -> int:
    """So many threads a crew would keep busy on this machine's CPU."""
    return min(cores(), max(crew.workers, 1) * recipe.backend.threads)


def workers_on_a_gpu(crew: Crew) -> int:
    """How many workers share one of this machine's GPUs; those that ask for none all use the first."""
    share = int(1 / crew.gpus_per_worker) if crew.gpus_per_worker > 0 else crew.workers
    return max(1, min(crew.workers, share))
