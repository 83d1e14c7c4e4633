"""The model card of a training: what a stranger must know of weights, in the training's folder.

It is made from the record and the journal. Whoever measures the model writes under the card's last heading, and what
stands there is kept when the card is written again. This module does not know what was trained.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

CARD = "README.md"
MEASURED = "## Measured\n"


def model_card(record: Mapping[str, Any], command: str, lines: Sequence[Mapping[str, float]], before: str) -> str:
    """The card, of the record of a training, its command and its journal.

    `before` is the card that lies there, if any.
    """
    settings = record["settings"]
    measured = before.partition(MEASURED)[2]
    return f"""# {settings["name"]}

A network of kind `{settings["kind"]}`, trained by Hypersynth {record["backend"]["hypersynth"]}.

| | |
|---|---|
| weights | `{settings["name"]}.safetensors`: {record["parameters"]:,} numbers, {record["bytes"] / 1e6:.1f} MB |
| trained on | {"<br>".join(map(_dataset, record["data"]))} |
| steps | {settings["steps"]:,} of {settings["batch"]} pictures: {_epochs(record):.1f} times through the data |
| seed | {settings["seed"]} |
| machine | {_machines(record)} |
| wall time | {_hours(record["seconds"])} |
| products | {settings["dtype"]} |
| at the end | {_last(lines)} |

Made by this command, {_again(record)}:

```sh
{command}
```

Its settings, every default written out:

```yaml
{yaml.safe_dump(settings, sort_keys=False).rstrip()}
```

{MEASURED}{measured}"""


def _dataset(data: Mapping[str, Any]) -> str:
    return f"{data['name']}: {data['pictures']:,} pictures of {data['people']:,} people, plan `{data['plan_hash']}`"


def _epochs(record: Mapping[str, Any]) -> float:
    seen: int = record["settings"]["steps"] * record["settings"]["batch"]
    pictures: int = sum(data["pictures"] for data in record["data"])
    return seen / pictures


def _machines(record: Mapping[str, Any]) -> str:
    each = "; then ".join(record["machines"])
    return f"{record['processes']} processes, each on {each}" if record["processes"] > 1 else each


def _again(record: Mapping[str, Any]) -> str:
    """How far the command can be held to its word."""
    alone = len(record["machines"]) == 1
    return "over again to the same weights" if alone else "on one machine after the other, which do not compute alike"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _last(lines: Sequence[Mapping[str, float]]) -> str:
    last = lines[-1] if lines else {}
    return ", ".join(f"{name} {value:.3g}" for name, value in last.items() if name != "step")
