"""`python -m bench [NAME ...] [--size SIZE] [--json FILE]`: measure, print one table, keep the figures."""

import argparse
import importlib
import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.machine import machine
from bench.measure import Measurement

SUBJECTS = ("head", "overhead", "writing", "reading", "feeding", "certificate", "separation", "packing", "vec2face")
LONG = (
    "growth",
    "packing_large",
    "judged",
    "closed_loop",
    "chaos",
    "scale",
    "bucket",
)  # only when named: they take long
SIZED = ("closed_loop", "chaos", "scale")  # have a small size, which is the usual one, and larger ones
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure the subjects named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "subjects",
        nargs="*",
        choices=[*SUBJECTS, *LONG, []],
        help="what to measure; all but the long ones if nothing is named",
    )
    parser.add_argument(
        "--size", choices=["small", "full", "full-gpu", "large"], help=f"of {', '.join(SIZED)}; usually small"
    )
    parser.add_argument("--json", type=Path, help="where the figures go; default: bench/results/DATE-SUBJECT.json")
    chosen = parser.parse_args()
    where = machine()
    everything: list[Measurement] = []
    for subject in chosen.subjects or SUBJECTS:
        size = {"size": chosen.size} if chosen.size and subject in SIZED else {}
        found: list[Measurement] = importlib.import_module(f"bench.{subject}").measure(**size)
        everything += found
        if not chosen.json:
            _keep(RESULTS / f"{'-'.join([str(where['date']), subject, *size.values()])}.json", where, found)
    if chosen.json:
        _keep(chosen.json, where, everything)
    _show(everything)


def _keep(path: Path, where: dict[str, object], measurements: list[Measurement]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": where, "measurements": [{**asdict(each), "met": each.met} for each in measurements]}
    path.write_text(json.dumps(document, indent=1) + "\n")


def _show(measurements: list[Measurement]) -> None:
    table = Table(box=None, header_style="dim")
    for column, justify in (("what", "left"), ("value", "right"), ("unit", "left"), ("bar", "right"), ("note", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for each in measurements:
        colour = {True: "green", False: "red", None: "default"}[each.met]
        bar = "" if each.bar is None else f"{'<=' if each.at_most else '>='} {each.bar:g}"
        table.add_row(each.what, f"[{colour}]{each.value:.4g}[/]", each.unit, bar, each.note)
    Console().print(table)


if __name__ == "__main__":
    main()
