"""The plan: all that a recipe decides, in a few kilobytes, whatever the size of the dataset.

`make_plan` is pure: the same resolved recipe gives the same plan and the same hash, on any machine. The hash covers
everything that can change a byte of the dataset. This module does not know where the work runs.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import yaml

from jobs.laws import variety
from jobs.recipe import Recipe, parse_stored
from samplers.errors import DatasetError, PlanMismatchError
from samplers.pictures import Pictures, shard_range
from synth.commit import committed_shards, read_commit
from synth.dataset import Profile
from synth.renderer import renderer_class
from synth.section import without_urls
from synth.shard import ShardSpec
from synth.storage import Storage, json_bytes
from synth.workshop import WorkshopSpec

NAME = "plan.json"
RECIPE_NAME = "recipe.yaml"
FORMAT = 3  # of everything on disk; another number makes another plan


@dataclass(frozen=True)
class Plan:
    """What is going to be built."""

    recipe: Recipe  # resolved
    pictures: Pictures
    shards: int
    hash: str

    def shard_places(self, shard: int) -> tuple[int, int]:
        """First and last + 1 place of a shard."""
        return shard_range(len(self.pictures), self.shards, shard)

    @property
    def profile(self) -> Profile:
        """What the dataset's manifest says that no shard knows."""
        return Profile(
            self.recipe.name, self.hash, self.pictures.identities, self.pictures.views, self.recipe.renderer.size
        )

    def workshop(self, url: str) -> WorkshopSpec:
        """What a worker needs to make any of the shards into the storage at a URL."""
        recipe = self.recipe
        shard = ShardSpec(
            plan_hash=self.hash,
            pictures=self.pictures,
            shards=self.shards,
            variety=variety(recipe),
            size_px=recipe.renderer.size,
            checks=recipe.checks.list,
            attempts=recipe.checks.attempts if recipe.checks.list else 1,
            exhausted=recipe.checks.exhausted,
            jpeg_quality=recipe.output.jpeg_quality,
            embeddings=recipe.output.embeddings,
            micro_batch=recipe.backend.micro_batch,
        )
        return WorkshopSpec(url, recipe.renderer, recipe.used_encoders, recipe.backend, shard)


def make_plan(recipe: Recipe) -> Plan:
    """The plan of a resolved recipe."""
    pictures = Pictures(recipe.identities.count, recipe.variations.views, recipe.seed, recipe.output.order)
    shards = -(-len(pictures) // recipe.output.shard_size)
    return Plan(recipe, pictures, shards, _hash(hashed_part(recipe)))


def hashed_part(recipe: Recipe) -> dict[str, Any]:
    """The recipe without what cannot change a byte of the dataset."""
    revision = renderer_class(recipe.renderer.kind).revision
    document = without_urls(recipe.model_dump(mode="json", exclude={"resources"}))
    return {"format": FORMAT, "revision": revision, **document}


def _hash(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def plan_document(plan: Plan) -> bytes:
    """The plan as it is stored."""
    document = {
        "format": FORMAT,
        "hash": plan.hash,
        "identities": plan.pictures.identities,
        "views": plan.pictures.views,
        "pictures": len(plan.pictures),
        "shards": plan.shards,
        "shard_sizes": sorted({len(plan.pictures) // plan.shards, -(-len(plan.pictures) // plan.shards)}),
        "order": plan.pictures.order,
        "seed": plan.pictures.seed,
    }
    return json_bytes(document)


def recipe_document(recipe: Recipe) -> bytes:
    """The resolved recipe as it is stored: complete, but for where things run."""
    data = recipe.model_dump(mode="json", exclude={"resources"})
    text: str = yaml.safe_dump(data, sort_keys=False, width=100)
    return text.encode()


def refuse_foreign(storage: Storage, plan: Plan) -> None:
    """Raises PlanMismatchError where another plan, or something else altogether, lies in the storage."""
    held = held_hash(storage)
    if held is None and _holds_files(storage):
        held = held_hash(storage)  # another part of this build may have begun in between
    if held is None and not storage.exists(NAME) and _holds_files(storage):
        raise PlanMismatchError(f"{storage.url} holds files, but nothing that hypersynth built; choose another --out")
    if held is not None and held != plan.hash:
        raise PlanMismatchError(
            f"{storage.url} holds another plan: {held[:12]}, not {plan.hash[:12]}; "
            "choose another --out, or build with the recipe and settings that began it"
        )


def _holds_files(storage: Storage) -> bool:
    return any(not stored.name.startswith(".") for stored in storage.list(""))


def claim(storage: Storage, plan: Plan) -> None:
    """Make the storage this plan's own, or find that it is, and mend the record where it was damaged.

    Raises PlanMismatchError where another plan lies there.
    """
    if not storage.create(NAME, plan_document(plan)):
        refuse_foreign(storage, plan)
        storage.replace(NAME, plan_document(plan))
    if not storage.create(RECIPE_NAME, recipe_document(plan.recipe)):
        storage.replace(RECIPE_NAME, recipe_document(plan.recipe))


def held_hash(storage: Storage) -> str | None:
    """The hash of the plan that a storage belongs to, from the plan, else from a commit; None where neither tells."""
    try:
        return stored_hash(storage)
    except DatasetError:
        for shard in committed_shards(storage):
            try:
                commit = read_commit(storage, shard)
            except DatasetError:
                continue
            if commit:
                return commit.plan_hash
    return None


def stored_hash(storage: Storage) -> str:
    """The hash of the plan that lies in a storage. Raises DatasetError where there is none, or a damaged one."""
    if not storage.exists(NAME):
        storage.list(NAME)  # a bucket that is not there says so when it is asked for a list, and not for an object
        raise DatasetError(f"{storage.url} holds no plan: nothing was built there")
    try:
        return str(json.loads(storage.read(NAME))["hash"])
    except (ValueError, KeyError, TypeError) as damage:
        raise DatasetError(f"{storage.url}/{NAME} is damaged; build again to mend it") from damage


def stored_plan(storage: Storage) -> Plan:
    """The plan that lies in a storage, made again from its recipe. Raises DatasetError where the two do not agree."""
    held = stored_hash(storage)
    plan = make_plan(parse_stored(storage.read(RECIPE_NAME), f"{storage.url}/{RECIPE_NAME}"))
    if plan.hash != held:
        raise DatasetError(
            f"{storage.url}/{RECIPE_NAME} does not give the plan {held[:12]} that lies beside it, but {plan.hash[:12]}"
        )
    if storage.read(NAME) != plan_document(plan):
        raise DatasetError(f"{storage.url}/{NAME} is damaged; build again to mend it")
    return plan
