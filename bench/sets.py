"""Datasets to measure on: built where they are missing, and looked at by each encoder once.

All lie in one work folder, named by their plans, so whatever was interrupted goes on, and nothing old is taken for what
a changed recipe or changed weights would give. This module measures nothing.

Shapes: n pictures, D dimensions.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from torch import Tensor

from cluster.hands import cores
from cluster.run import Crew
from jobs.build import build
from jobs.plan import make_plan
from jobs.progress import ProgressWatch
from jobs.recipe import Recipe, load_recipe, resolve_recipe
from jobs.source import shipped_recipes
from synth import dataset
from synth.backend import Backend, prepare
from synth.encoder import encoder_class
from synth.encoders.settings import EncoderSettings
from synth.files import at_hand
from synth.pictures import Pictures, open_pictures
from synth.section import named_files, pin_files, without_urls
from synth.storage import sha256
from synth.verification import Faces

_BATCH = 64

#: What takes the camera's faults away, for `load_recipe`: the laws of the training recipe, and those of our renderers.
CLEAN_CAMERA = {
    f"variations.attributes.{name}": {"kind": "constant", "value": value}
    for name, value in {"vignette": 0, "blur_px": 0, "resolution": 1, "noise": 0, "jpeg_quality": 100}.items()
}


@dataclass(frozen=True)
class Workplace:
    """Where a measurement keeps its datasets, by how many processes they are built, and whom it tells."""

    folder: Path
    workers: int  # 0: in this process
    console: Console

    @property
    def threads(self) -> int:
        """For what is done in this process."""
        return max(self.workers, 1)

    def say(self, line: str) -> None:
        """Tell how it goes."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def workplace(name: str) -> Workplace:
    """The usual one of a subject: out/NAME, a process for each core."""
    return Workplace(Path("out") / name, cores(), Console(stderr=True))


def missing_files(recipe: str, **overrides: object) -> str | None:
    """What a recipe lacks to be built here, in words: itself, or the first of its files; None: nothing."""
    if recipe not in shipped_recipes() and not Path(recipe).is_file():
        return f"there is no recipe {recipe}"
    loaded = load_recipe(recipe, overrides)
    return missing_among((loaded, loaded.used_encoders))


def missing_among(settings: object) -> str | None:
    """The first file in some settings that is not here, in words; None: all are."""
    return next((f"{file.url} is not here" for file in named_files(settings) if not at_hand(file.url)), None)


def built(recipe: Recipe, place: Workplace) -> Pictures:
    """The finished dataset of a recipe, built if it was not before, with all attributes that its renderer declares."""
    folder = place.folder / "sets" / f"{recipe.name}-{make_plan(resolve_recipe(recipe)).hash[:12]}"
    if not (folder / dataset.NAME).exists():
        place.say(f"{folder}: {recipe.identities.count} people x {recipe.variations.views} views")
        crew = Crew(
            place.workers, gpus_per_worker=recipe.resources.gpus_per_worker, memory_gb=recipe.resources.memory_gb
        )
        with ProgressWatch(place.console) as watch:
            build(recipe, str(folder), crew, watch)
    return open_pictures(str(folder), recipe.declared)


def looked_at(pictures: Pictures, encoder: EncoderSettings, place: Workplace) -> Tensor:
    """The embeddings of all pictures of a dataset, in the order of its table: float32 (n, D), kept for next time."""
    look = sha256(json.dumps(without_urls(pin_files(encoder).model_dump(mode="json")), sort_keys=True).encode())
    path = place.folder / "embeddings" / f"{pictures.manifest.plan_hash[:16]}-{look[:16]}.safetensors"
    if not path.exists():
        place.say(f"{pictures.storage.url}: {len(pictures.table)} pictures, looked at by {encoder.kind}")
        backend = Backend(device="cuda" if torch.cuda.is_available() else "cpu", threads=place.threads)
        prepare(backend)
        opened = encoder_class(encoder.kind).open(encoder, backend)
        found = torch.cat([opened.embed(images) for images in batches(pictures, torch.arange(len(pictures.table)))])
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        save_file({"embeddings": found}, unfinished)
        unfinished.replace(path)
    return load_file(path)["embeddings"]


def batches(pictures: Pictures, rows: Tensor) -> Iterator[Tensor]:
    """Pictures by their rows (n,), as encoders want them: uint8 (B, H, W, 3)."""
    for part in torch.split(rows, _BATCH):
        yield torch.stack([pictures.image(row) for row in part.tolist()]).permute(0, 2, 3, 1)


def faces(pictures: Pictures, embeddings: Tensor) -> Faces:
    """Embeddings (n, D) with who is seen, and the number of the view.

    Views of one number are one shot: recipes that differ in some laws only draw all the others alike there, the
    background and the light among them.
    """
    return Faces(embeddings, pictures.table.identity, view_numbers(pictures))


def view_numbers(pictures: Pictures) -> Tensor:
    """The number of each picture's view, in the order of the table: int64 (n,)."""
    indices = [pictures.storage.read(each.index.name) for each in pictures.manifest.shards]
    table = pa.concat_tables([pq.read_table(pa.BufferReader(each), columns=["view", "offset"]) for each in indices])
    kept = table.filter(table["offset"].is_valid())
    return torch.from_numpy(kept["view"].to_numpy().copy()).long()
