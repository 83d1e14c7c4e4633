"""Counter-based random numbers: the only source of chance in Hypersynth.

Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) in integer torch operations, so
that every device gives the same integers. A number is a pure function of a key (recipe seed and purpose) and a counter
(identity, view, attempt, block); nothing is ever "advanced". This module does not know what the numbers are for.

Shapes: B pictures or items, n numbers each. A key is two 32-bit words: a pair of Python integers, or an int64 (B, 2).
"""

import hashlib
import math

import torch
from torch import Tensor

Key = tuple[int, int]

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_FEISTEL_ROUNDS = 6


def key_of(seed: int, purpose: str) -> Key:
    """The key for one purpose under one recipe seed: the first 64 bits of sha256("seed/purpose")."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def philox(counter: Tensor, key: Tensor | Key) -> Tensor:
    """Philox-4x32-10 of int64 counters (..., 4) under a key (pair, or (..., 2)): int64 (..., 4), each in [0, 2^32).

    The 64-bit products wrap around in int64; their upper and lower 32 bits are what the definition asks for.
    """
    device = counter.device
    multipliers, weyl = torch.tensor((_MULTIPLIERS, _WEYL), device=device)
    if isinstance(key, tuple):
        key = torch.tensor(key, device=device)
    even, odd = counter[..., 0::2], counter[..., 1::2]
    for turn in range(_ROUNDS):
        product = (even * multipliers).flip(-1)
        even, odd = ((product >> 32) & _WORD) ^ odd ^ ((key + turn * weyl) & _WORD), product & _WORD
    return torch.stack((even, odd), -1).flatten(-2)


def words(key: Tensor | Key, index: Tensor, n: int) -> Tensor:
    """n random 32-bit words for each index row.

    `index` is int64 (B, 3), each entry in [0, 2^32): usually (identity, view, attempt). Returns int64 (B, n). Asking
    for more numbers never changes the first ones.
    """
    blocks = -(-n // 4)
    block = torch.arange(blocks, device=index.device)
    counter = torch.cat((block[None, :, None].expand(len(index), -1, -1), index[:, None].expand(-1, blocks, -1)), -1)
    if isinstance(key, Tensor):
        key = key[:, None]
    return philox(counter, key).flatten(1)[:, :n]


def uniforms(key: Tensor | Key, index: Tensor, n: int) -> Tensor:
    """n uniform numbers in the open interval (0, 1) for each index row (B, 3): float64 (B, n)."""
    return (words(key, index, n).double() + 0.5) * 2.0**-32


def normals(key: Tensor | Key, index: Tensor, n: int) -> Tensor:
    """n standard normal numbers for each index row (B, 3), by Box and Muller in float64: float32 (B, n)."""
    pairs = -(-n // 2)
    radius, angle = uniforms(key, index, 2 * pairs).view(len(index), pairs, 2).unbind(-1)
    radius, angle = (-2 * radius.log()).sqrt(), angle * (2 * math.pi)
    return torch.stack((radius * angle.cos(), radius * angle.sin()), -1).flatten(1)[:, :n].float()


def picture_keys(seed: int, index: Tensor) -> Tensor:
    """The key of each picture's own noise, from (identity, view, attempt): int64 (B, 2)."""
    return words(key_of(seed, "picture"), index, 2)


def person_keys(seed: int, identity: Tensor) -> Tensor:
    """The key of what stays with each person (B,) in all views: int64 (B, 2)."""
    index = torch.stack((identity, torch.zeros_like(identity), torch.zeros_like(identity)), -1)
    return words(key_of(seed, "person"), index, 2)


def noise_index(key: Tensor, purpose: str) -> Tensor:
    """The index rows by which a renderer draws noise for one purpose under its pictures' keys (B, 2): int64 (B, 3)."""
    row = torch.tensor([*key_of(0, purpose), 0], device=key.device)
    return row.expand(len(key), 3)


def permute(key: Tensor | Key, index: Tensor, n: int) -> Tensor:
    """A keyed bijection of [0, n): int64 of any shape to the same shape, in O(1) memory per item.

    With a key (B, 2) for each row, index is (B,), and each row is put through its own key's bijection.

    A balanced Feistel network over the smallest even number of bits that holds n, with Philox as its round function;
    results outside [0, n) walk on along their cycle (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
    Raises ValueError for an index outside [0, n) or n beyond 2^62.
    """
    if not 0 < n <= 1 << 62:
        raise ValueError(f"a permutation needs a size between 1 and 2^62, not {n}")
    if index.numel() and (int(index.min()) < 0 or int(index.max()) >= n):
        raise ValueError(f"an index lies outside [0, {n})")
    half = max(1, ((n - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    value = index.flatten()
    walking = torch.ones_like(value, dtype=torch.bool)
    while bool(walking.any()):
        walking_key = key[walking] if isinstance(key, Tensor) else key
        left, right = value[walking] >> half, value[walking] & mask
        for turn in range(_FEISTEL_ROUNDS):
            counter = torch.stack((right & _WORD, right >> 32, torch.full_like(right, turn), right * 0), -1)
            left, right = right, left ^ (philox(counter, walking_key)[:, 0] & mask)
        value = value.masked_scatter(walking, (left << half) | right)
        walking = value >= n
    return value.view_as(index)
