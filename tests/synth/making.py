"""What the tests of this room make shards with: a few people, the barcode renderer, no build around it."""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from samplers.attributes import Law, complete_laws
from samplers.hands import Threads
from samplers.identities import Identities, IdentitySpec, draw_identities
from samplers.pictures import Pictures
from samplers.priors import Prior, UniformPrior
from samplers.variations import Cone
from samplers.wanted import Wanted
from synth.anchors import Anchors
from synth.checks import CosineToAnchor, NearestAnchor
from synth.commit import Commit, commit_shard
from synth.encoder import Encoder
from synth.encoders.barcode import BarcodeEncoder
from synth.renderer import Renderer
from synth.renderers.barcode import DIMENSION, BarcodeRenderer
from synth.shard import ShardSpec, ShardTask, Tools, draw_shard
from synth.storage import Storage
from synth.views import Variety

PEOPLE, VIEWS = 20, 6
VARIATION = Cone(min_cosine=0.8)


def people(count: int = PEOPLE, prior: Prior | None = None, max_cosine: float = 0.4) -> Identities:
    """Whom a prior gives for seed 1, uniform where none is named."""
    wanted = Wanted(count, max_cosine)
    return draw_identities(IdentitySpec(prior or UniformPrior(), 1, DIMENSION, wanted, VARIATION), Threads(1))


def spec(*, laws: dict[str, Law] | None = None, **changes: Any) -> ShardSpec:
    """120 pictures in one shard, a fifth of them damaged and most of these refused, unless changed."""
    declared = BarcodeRenderer.attributes
    usual: dict[str, Any] = {
        "plan_hash": "plan",
        "pictures": Pictures(PEOPLE, VIEWS, 1),
        "shards": 1,
        "variety": Variety(1, VIEWS, VARIATION, declared, complete_laws(declared, laws or {})),
        "size_px": 32,
        "checks": (CosineToAnchor(encoder="barcode", min=0.7), NearestAnchor(encoder="barcode")),
        "attempts": 2,
        "exhausted": "reject",
        "jpeg_quality": 95,
        "embeddings": True,
        "micro_batch": 16,
    }
    return ShardSpec(**{**usual, **changes})


@dataclass
class Bench:
    """A place where shards are made, and what lies there afterwards."""

    storage: Storage
    renderer: Renderer = field(default_factory=lambda: BarcodeRenderer(32))
    encoder: Encoder = field(default_factory=BarcodeEncoder)
    identities: Identities = field(default_factory=people)

    @property
    def tools(self) -> Tools:
        return Tools(Anchors.of(self.identities), self.renderer, {"barcode": self.encoder}, {"device": "test"})

    def make(self, spec: ShardSpec, shard: int = 0) -> Commit:
        return commit_shard(self.storage, draw_shard(ShardTask(spec, shard), self.tools))

    def rows(self, commit: Commit) -> list[dict[str, Any]]:
        """The index of a shard."""
        rows: list[dict[str, Any]] = pq.read_table(pa.BufferReader(self.storage.read(commit.index.name))).to_pylist()
        return rows
