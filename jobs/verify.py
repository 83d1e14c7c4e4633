"""Verifying: everything that a dataset says of itself, read again and held against the bytes.

`verify` only reads. `drop_damaged` removes the manifest, then the commits of damaged shards, so that the next build
makes just those again, to the same bytes. This module does not make anything.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from cluster.hands import local_hands
from jobs.plan import Plan, stored_plan
from jobs.variations import DirectionSettings
from samplers.certificate import certify
from samplers.cones import prove_cones
from samplers.errors import HypersynthError
from samplers.identities import rounded_up
from samplers.pairs import compare_all
from synth import dataset
from synth.anchors import CERTIFICATE, certificate_document, read_anchors, read_certificate, read_course
from synth.audit import audit_shard
from synth.commit import StoredFile, commit_name, contradiction, index_name, read_commit, read_commits, tar_name
from synth.storage import Storage


@dataclass(frozen=True)
class Verdict:
    """What was found wrong: by shard, and with the dataset as a whole."""

    shards: dict[int, list[str]]
    identities: list[str]
    manifest: list[str]
    strays: list[str]  # files that readers would take for a part of it
    pictures: int  # kept, in sound shards

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.faults

    @property
    def faults(self) -> list[str]:
        """Everything that was found, in words."""
        return [
            *(fault for faults in self.shards.values() for fault in faults),
            *self.identities,
            *self.manifest,
            *self.strays,
        ]


def verify(storage: Storage, progress: Callable[[int, int], None] = lambda done, total: None) -> Verdict:
    """Read everything again. Raises DatasetError where there is no plan to verify against."""
    plan = stored_plan(storage)
    faults: dict[int, list[str]] = {}
    pictures = 0
    for shard in range(plan.shards):
        found, kept = _audit(storage, plan, shard)
        pictures += kept
        if found:
            faults[shard] = found
        progress(shard + 1, plan.shards)
    identities = _identity_faults(storage, plan)
    manifest = _manifest_faults(storage, plan, damaged=bool(faults or identities))
    return Verdict(faults, identities, manifest, _strays(storage, plan), pictures)


def _audit(storage: Storage, plan: Plan, shard: int) -> tuple[list[str], int]:
    try:
        commit = read_commit(storage, shard)
        if commit is None:
            return [f"shard {shard:06d} has no commit: it is not done"], 0
        if commit.plan_hash != plan.hash:
            return [f"shard {shard:06d} belongs to another plan, {commit.plan_hash[:12]}"], 0
        if wrong := contradiction(commit, shard):
            return [wrong], 0
        places = plan.pictures.at(*plan.shard_places(shard))
        return audit_shard(storage, commit, places, plan.recipe.renderer.size), commit.kept
    except HypersynthError as damage:
        return [str(damage)], 0


def _identity_faults(storage: Storage, plan: Plan) -> list[str]:
    """Recompute the certificate from the stored vectors. The recipe's files are not asked for: they may be gone."""
    try:
        anchors, stored = read_anchors(storage), read_certificate(storage)
        read_course(storage)
    except HypersynthError as damage:
        return [str(damage)]
    if len(anchors.vectors) != plan.pictures.identities:
        return [f"identities/ holds {len(anchors.vectors)} people, the plan {plan.pictures.identities}"]
    limit = plan.recipe.identities.separation.max_cosine
    pairs = compare_all(anchors.vectors, local_hands(), histogram=True)
    nearest_cosine = rounded_up(pairs.cosine)
    if not (torch.equal(anchors.nearest, pairs.nearest) and torch.equal(anchors.nearest_cosine, nearest_cosine)):
        return ["identities/ names nearest neighbours that the stored vectors do not have"]
    vector = plan.recipe.variations.vector
    cones = None if isinstance(vector, DirectionSettings) else prove_cones(vector, pairs.nearest, nearest_cosine)
    certificate = certify(anchors.vectors, pairs, limit, cones)
    parts = [StoredFile.model_validate(part) for part in stored["parts"]]
    if certificate_document(certificate, parts, StoredFile.model_validate(stored["course"])) != stored:
        return ["identities/certificate.json is not what the stored vectors give"]
    return [] if certificate.holds else [f"two identities have a cosine of {certificate.max_cosine}, above {limit}"]


def _manifest_faults(storage: Storage, plan: Plan, damaged: bool) -> list[str]:
    """Hold dataset.json against what the commits and the certificate give."""
    if not storage.exists(dataset.NAME):
        return [] if damaged else ["all shards are done, but dataset.json is missing: build again to seal"]
    try:
        manifest = dataset.read_manifest(storage)
        if manifest.plan_hash != plan.hash:
            return [f"{dataset.NAME} belongs to another plan, {manifest.plan_hash[:12]}"]
        if damaged:
            return []
        commits = [commit for commit in read_commits(storage, range(plan.shards)) if commit]
        due = dataset.make_manifest(plan.profile, commits, read_certificate(storage))
    except HypersynthError as damage:
        return [str(damage)]
    return [] if manifest == due else [f"{dataset.NAME} is not what the commits and the certificate give"]


def _strays(storage: Storage, plan: Plan) -> list[str]:
    """Of files that a pattern such as shards/*.tar would take in, though no shard of the plan has them."""
    ours = {name for shard in range(plan.shards) for name in (tar_name(shard), index_name(shard))}
    found = [stored.name for folder in ("shards/", "index/") for stored in storage.list(folder)]
    strays = (name for name in found if name.endswith((".tar", ".parquet")) and name not in ours)
    return [f"{name} is no part of this dataset, but readers would take it for one: remove it" for name in strays]


def drop_damaged(storage: Storage, verdict: Verdict) -> list[int]:
    """Remove the manifest, then what stands on damaged bytes, so that `build` makes it again; returns the shards.

    Strays are nobody's: they stay.
    """
    if verdict.shards or verdict.identities or verdict.manifest:
        storage.delete(dataset.NAME)
    if verdict.identities:
        storage.delete(CERTIFICATE)
    for shard in verdict.shards:
        storage.delete(commit_name(shard))
    return sorted(verdict.shards)
