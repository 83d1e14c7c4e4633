"""What stands beside the shards for people and catalogues: the dataset card and the Croissant record.

Both are made from the manifest and the recipe's own words; no clock enters. The card's front matter is Hugging
Face's, so that a folder uploaded there is read as WebDataset. This module does not know how the dataset was built.
"""

import datetime
from dataclasses import dataclass
from typing import Any

import yaml

from synth.dataset import Dataset
from synth.storage import json_bytes

CARD_NAME = "README.md"
CROISSANT_NAME = "croissant.json"
SHEET_NAME = "contact_sheet.png"
_HOMEPAGE = "https://example.org/hypersynth"


@dataclass(frozen=True)
class Words:
    """What the recipe says about the dataset as a publication."""

    license: str  # SPDX name
    date: datetime.date
    renderer: str


def card(dataset: Dataset, words: Words) -> bytes:
    """README.md: front matter, and what a reader wants to know first."""
    front = {
        "license": words.license.lower(),
        "pretty_name": dataset.name,
        "size_categories": [_size_category(dataset.kept)],
        "task_categories": ["image-classification"],
        "tags": ["webdataset", "synthetic", "face-recognition"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "shards/*.tar"}]}],
    }
    header = yaml.safe_dump(front, sort_keys=False)
    return f"---\n{header}---\n\n{_text(dataset, words)}".encode()


def _text(dataset: Dataset, words: Words) -> str:
    refused = "".join(f", {count} rejected by {reason}" for reason, count in sorted(dataset.rejected.items()))
    largest = dataset.certificate["max_cosine"]
    separation = (
        "one identity only" if largest is None else f"{largest:.6f}, at identities {dataset.certificate['pair']}"
    )
    return f"""# {dataset.name}

Pictures of {dataset.classes} people who do not exist, {dataset.views} views of each planned, for face recognition.
Every picture is synthetic, drawn by Hypersynth's `{words.renderer}` renderer. Made under a recipe dated {words.date}.

![Some of the people, one in each row]({SHEET_NAME})

| | |
|---|---|
| pictures | {dataset.kept} kept of {dataset.planned} planned{refused} |
| size | {dataset.picture_size_px} x {dataset.picture_size_px} px, RGB, aligned to the five-point ArcFace template |
| labels | 0 to {dataset.classes - 1} |
| shards | {len(dataset.shards)} WebDataset tars, samples already shuffled unless the recipe says otherwise |
| largest cosine between two identity vectors | {separation} (limit {dataset.certificate["limit"]:g}) |
| views of one person | {_cones(dataset.certificate["cones"])} |
| plan | `{dataset.plan_hash}` |

Each sample has `KEY.jpg`, `KEY.cls` (the label) and `KEY.json` (identity, view, attributes). `index/*.parquet` has one
row for every planned picture, rejected ones too; `identities/*.parquet` has the people; `recipe.yaml` is the recipe.

```python
from synth.reader import open_dataset

for image, label in open_dataset("."):  # uint8 (3, {dataset.picture_size_px}, {dataset.picture_size_px}), int
    ...
```
"""


def _cones(proof: dict[str, Any] | None) -> str:
    """What the certificate says of the people's cones."""
    if proof is None:
        return "not bounded by cones"
    extent = f"cones of {proof['narrowest_deg']:.1f} to {proof['widest_deg']:.1f} degrees about the identity vectors"
    return f"{extent}, {'no two of which meet' if proof['disjoint'] else 'some of which may overlap'}"


def _size_category(samples: int) -> str:
    bounds = ((1_000, "1K"), (10_000, "10K"), (100_000, "100K"), (1_000_000, "1M"), (10_000_000, "10M"))
    below = "n<1K"
    for (bound, name), (_, following) in zip(bounds, (*bounds[1:], (0, "100M")), strict=True):
        if samples >= bound:
            below = f"{name}<n<{following}"
    return below


_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(dataset: Dataset, words: Words) -> bytes:
    """croissant.json, by MLCommons' Croissant format 1.1: files with their sha256, and the pictures by key."""
    shards = [
        {
            "@type": "cr:FileObject",
            "@id": shard.name,
            "name": shard.name,
            "contentUrl": shard.name,
            "contentSize": f"{shard.bytes} B",
            "encodingFormat": "application/x-tar",
            "sha256": shard.sha256,
        }
        for shard in dataset.shards
    ]
    pictures = {
        "@type": "cr:FileSet",
        "@id": "pictures",
        "name": "pictures",
        "containedIn": [{"@id": shard.name} for shard in dataset.shards],
        "encodingFormat": "image/jpeg",
        "includes": "*.jpg",
    }
    record = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": dataset.name,
        "description": f"{dataset.kept} synthetic face pictures of {dataset.classes} people who do not exist.",
        "license": f"https://spdx.org/licenses/{words.license}",
        "url": _HOMEPAGE,
        "creator": {"@type": "sc:Organization", "name": "Hypersynth"},
        "datePublished": words.date.isoformat(),
        "version": "1.0.0",
        "prov:wasGeneratedBy": {"@type": "prov:Activity", "prov:label": f"hypersynth plan {dataset.plan_hash}"},
        "distribution": [*shards, pictures],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "samples", "name": "samples", "field": _fields()}],
    }
    return json_bytes(record)


def _fields() -> list[dict[str, Any]]:
    key = {"fileProperty": "filename"}
    return [
        _field("key", "sc:Text", key, {"regex": r"^(.+)\.jpg$"}),
        _field("identity", "sc:Integer", key, {"regex": r"^(\d+)-\d+\.jpg$"}),
        _field("picture", "sc:ImageObject", {"fileProperty": "content"}, None),
    ]


def _field(name: str, data_type: str, extract: dict[str, str], transform: dict[str, str] | None) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": "pictures"}, "extract": extract}
    if transform:
        source["transform"] = transform
    return {
        "@type": "cr:Field",
        "@id": f"samples/{name}",
        "name": f"samples/{name}",
        "dataType": data_type,
        "source": source,
    }
