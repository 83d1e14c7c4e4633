"""The backend: everything about the machine that can change the last bit of a picture, chosen and named.

A recipe chooses device, micro-batch size and threads (they are hashed into the plan); the fingerprint names what was
there when a shard was made, and goes into its commit. This module does not know what is computed.
"""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from samplers.errors import RecipeError


class Backend(BaseModel):
    """How pictures are computed. Every field may change bytes, so every field is part of the plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    device: Literal["cpu", "cuda"] = "cpu"
    micro_batch: int = Field(16, ge=1, le=4096, description="pictures per call of the renderer")
    threads: int = Field(1, ge=1, le=256, description="CPU threads per worker")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="numbers that large networks compute with; half precision wants device cuda"
    )

    @model_validator(mode="after")
    def _half_precision_needs_a_gpu(self) -> "Backend":
        if self.dtype == "float16" and self.device == "cpu":
            raise ValueError("dtype float16 wants device cuda; on a CPU use float32")
        return self

    @property
    def torch_dtype(self) -> torch.dtype:
        """The same as torch names it."""
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[self.dtype]


def require_device(backend: Backend) -> None:
    """Raises RecipeError where this machine does not have the device that the backend names."""
    if backend.device == "cuda" and not torch.cuda.is_available():
        raise RecipeError("backend.device is cuda, but this machine shows no CUDA device; use --set backend.device=cpu")


def prepare(backend: Backend) -> None:
    """Set this process up as the backend says. Raises RecipeError where the device is not there."""
    require_device(backend)
    torch.set_num_threads(backend.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    # Without this, backward passes and transposed convolutions may add in an order that changes from run to run.
    torch.backends.cudnn.deterministic = True


def fingerprint(backend: Backend, renderer: dict[str, str]) -> dict[str, str]:
    """Names of what may change bits: device model, instruction set, libraries, and the renderer's own."""
    device = torch.cuda.get_device_name() if backend.device == "cuda" else platform.machine()
    named = {name: _version(name) for name in _LIBRARIES}
    cpu = torch.backends.cpu.get_cpu_capability()
    return {
        "device": f"{backend.device}: {device}",
        "cpu_capability": cpu,
        "tf32": "off",
        "dtype": backend.dtype,
        **named,
        **renderer,
    }


#: Whose versions may show in the bytes: pictures, searches, JPEG, Parquet (which names its writer), the contact sheet.
_LIBRARIES = ("hypersynth", "torch", "numba", "numpy", "simplejpeg", "pyarrow", "pillow")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
