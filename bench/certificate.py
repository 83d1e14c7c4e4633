"""The certificate: all pairs compared, against the same number of floating-point operations in plain products."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import faiss
import torch
from torch import Tensor

from bench.measure import Measurement, seconds
from bench.vectors import DIMENSION, Memory, apart, directions
from cluster.hands import cores, local_hands
from samplers.pairs import TILE, compare_all
from samplers.sphere import product
from samplers.uniqueness import unique_so_far

_COUNT = 100_000
_LARGE = 300_000
_PLAIN_SIDE = 8192  # of the plain products
_COUNTED = 20_000
_PREFIX = 1000
_LIMIT = 0.4


def plain_seconds(vectors: Tensor, multiply: Callable[[Tensor, Tensor], Tensor]) -> float:
    """How long plain large products take for as many operations as all pairs of `vectors` are, measured now."""
    block = vectors[:_PLAIN_SIDE]
    torch.set_num_threads(cores())
    pairs = len(vectors) * (len(vectors) - 1) / 2
    best = min(seconds(lambda: multiply(block, block)) for _ in range(4))
    return best * pairs / len(block) ** 2


def _torch_product(a: Tensor, b: Tensor) -> Tensor:
    return a @ b.T


@dataclass(frozen=True)
class _Run:
    plain: tuple[float, float]  # seconds of plain products, before and after
    bare: float  # seconds without the histogram
    full: float  # with it
    same_library: float  # seconds of plain products by the library that we use
    memory_gb: float  # above the vectors

    @property
    def reference(self) -> float:
        return sum(self.plain) / 2


def _run(count: int) -> _Run:
    vectors, hands = directions(count), local_hands()
    compare_all(vectors[: 2 * TILE], hands, histogram=True)  # compiles
    before = plain_seconds(vectors, _torch_product)
    memory = Memory()
    bare = seconds(lambda: compare_all(vectors, hands, histogram=False))
    full = seconds(lambda: compare_all(vectors, hands, histogram=True))
    peak = memory.peak_gb()
    same_library = plain_seconds(vectors, product)
    return _Run((before, plain_seconds(vectors, _torch_product)), bare, full, same_library, peak)


@dataclass(frozen=True)
class _Large:
    seconds: float
    memory_gb: float  # in all


def _run_large(count: int) -> _Large:
    vectors, hands = directions(count), local_hands()
    compare_all(vectors[: 2 * TILE], hands, histogram=True)
    start = time.perf_counter()
    compare_all(vectors, hands, histogram=True)
    elapsed = time.perf_counter() - start
    return _Large(elapsed, Memory.whole_gb())


def _published_counts(vectors: Tensor) -> list[int]:
    """The published way (HaiyuWu/Vec2Face, inter-separability-measurement.py): the whole matrix for every prefix."""
    counts = []
    for size in range(_PREFIX, len(vectors) + 1, _PREFIX):
        block = vectors[:size]
        above = torch.triu(block @ block.T > _LIMIT, diagonal=1)
        counts.append(int((above.sum(0) == 0).sum()))
    return counts


@dataclass(frozen=True)
class _Counting:
    published: float
    ours: float
    same: bool


def _run_counting(count: int) -> _Counting:
    # Few dimensions of variance, so that many are not unique.
    mixing = torch.randn(64, DIMENSION, generator=torch.Generator().manual_seed(1))
    features = torch.randn(count, 64, generator=torch.Generator().manual_seed(2)) @ mixing
    vectors = torch.nn.functional.normalize(features, dim=1)
    hands = local_hands()
    unique_so_far(vectors[: 2 * TILE], _LIMIT, hands)
    torch.set_num_threads(cores())
    expected: list[int] = []
    published = seconds(lambda: expected.extend(_published_counts(vectors)))
    found: list[int] = []
    ours = seconds(
        lambda: found.extend(unique_so_far(vectors, _LIMIT, hands).cumsum(0)[_PREFIX - 1 :: _PREFIX].tolist())
    )
    return _Counting(published, ours, found == expected)


def _faiss_over_ours(count: int) -> float:
    """Seconds of faiss's exact nearest neighbours over ours; faiss has no upper triangle and no histogram."""
    vectors, hands = directions(count), local_hands()
    compare_all(vectors[: 2 * TILE], hands, histogram=False)
    faiss.omp_set_num_threads(cores())
    index = faiss.IndexFlatIP(DIMENSION)
    index.add(vectors.numpy())
    theirs = seconds(lambda: index.search(vectors.numpy(), 2))
    return theirs / seconds(lambda: compare_all(vectors, hands, histogram=False))


def measure() -> list[Measurement]:
    """Time over plain products at 100,000; one run at 300,000; counting at 20,000; faiss beside it."""
    run: _Run = apart(_run, _COUNT)
    large: _Large = apart(_run_large, _LARGE)
    counting: _Counting = apart(_run_counting, _COUNTED)
    faiss_ratio = apart(_faiss_over_ours, 20_000)
    predicted = run.full * (_LARGE / _COUNT) ** 2
    size = f"{_COUNT} x {DIMENSION}"
    gflops = _COUNT**2 * DIMENSION / 1e9
    detail = {
        "seconds": run.bare,
        "seconds_with_histogram": run.full,
        "plain_seconds_before": run.plain[0],
        "plain_seconds_after": run.plain[1],
        "plain_gflop_per_s": gflops / run.reference,
        "gflop_per_s": gflops / run.bare,
    }
    beyond = {"seconds": large.seconds, "predicted_seconds": predicted}
    return [
        Measurement(
            "certificate over plain products, " + size, run.bare / run.reference, "x", 1.3, True, detail=detail
        ),
        Measurement("the same with the histogram of all pairs", run.full / run.reference, "x", 1.6, True),
        Measurement("the first over large products by oneDNN, which it uses", run.bare / run.same_library, "x"),
        Measurement("the second over the same", run.full / run.same_library, "x"),
        Measurement("peak memory above the vectors", run.memory_gb, "GB", 1.0, True),
        Measurement(
            f"certificate of {_LARGE} x {DIMENSION}, over the quadratic prediction",
            large.seconds / predicted,
            "x",
            note=f"{large.seconds:.0f} s",
            detail=beyond,
        ),
        Measurement("its memory, vectors included", large.memory_gb, "GB", 2.0, True),
        Measurement(
            f"counting unique identities at {_COUNTED}, the published way over ours",
            counting.published / counting.ours,
            "x",
            20.0,
            note="same counts" if counting.same else "COUNTS DIFFER",
            detail={"published_seconds": counting.published, "seconds": counting.ours},
        ),
        Measurement("faiss's exact search over ours, 20000 x 512", faiss_ratio, "x", note="nearest neighbours only"),
    ]
