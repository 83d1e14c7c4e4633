"""What the tests of this room measure: barcodes, exact and fast, in place of faces."""

from pathlib import Path
from typing import Any

from rich.console import Console

from bench.judged.setup import Judging, Own
from bench.sets import Workplace
from synth.encoders.settings import BarcodeEncoderSettings
from synth.section import InputFile

BARCODE = BarcodeEncoderSettings()
WHOLE = {"variations.attributes": {"damage": {"kind": "constant", "value": 0}}, "checks.list": []}


def workplace(folder: Path) -> Workplace:
    """In this process, silent."""
    return Workplace(folder, 0, Console(quiet=True))


def judging(folder: Path, **changes: Any) -> Judging:
    """Barcodes judged by their own reader, few of them."""
    usual: dict[str, Any] = {
        "place": workplace(folder / "work"),
        "judge": BARCODE,
        "encoder": BARCODE,
        "prior": InputFile(url=str(folder / "prior.safetensors")),
        "own": (Own("barcode", 1.0, 1.0, WHOLE),),
        "unseen": "barcode",
        "procedural": "barcode",
        "training": folder / "training",
        "people": 12,
        "views": 4,
        "gallery": 15,
        "gallery_views": 3,
        "draws": 2000,
        "seconds": 0.2,
        "processes": 0,
    }
    return Judging(**{**usual, **changes})
