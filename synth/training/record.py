"""The record of a finished training, `training.json`: all that decided its weights, where it ran and how long.

This module does not know what was trained.
"""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from synth.backend import Backend, fingerprint
from synth.training.material import Material
from synth.training.settings import TrainingSection

RECORD = "training.json"


def training_record(
    settings: TrainingSection, material: Material, processes: int, seconds: float, machines: Sequence[str]
) -> dict[str, Any]:
    """What was trained on what, where, and in how many seconds, resumed parts added up."""
    return {
        "settings": settings.model_dump(mode="json"),
        "data": [
            {
                "name": part.manifest.name,
                "plan_hash": part.manifest.plan_hash,
                "pictures": len(part.table),
                "people": len(part.anchors),
            }
            for part in material.parts
        ],
        "seconds": round(seconds, 1),
        "processes": processes,
        "machines": list(machines),
        "backend": _backend(settings),
    }


def machine(settings: TrainingSection) -> str:
    """This machine as one that trains: what computes, and by which PyTorch. Another name may give other bits."""
    if settings.device == "cuda":
        hardware = torch.cuda.get_device_name()
    else:
        hardware = f"{settings.threads} {'thread' if settings.threads == 1 else 'threads'} of {_processor()}"
    return f"{hardware}, torch {_backend(settings)['torch']}"


def _backend(settings: TrainingSection) -> dict[str, str]:
    return fingerprint(Backend(device=settings.device, threads=settings.threads, dtype=settings.dtype), {})


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
