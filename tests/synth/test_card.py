"""What stands beside the shards for people: card, Croissant record, contact sheet."""

import datetime
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import yaml
from PIL import Image

from synth.card import Words, card, croissant
from synth.dataset import Dataset, read_manifest
from synth.sheet import GAP_PX, contact_sheet
from synth.storages.local import LocalStorage
from synth.tar import read_tar

WORDS = Words("CC-BY-4.0", datetime.date(2026, 11, 20), "barcode")


@pytest.fixture(scope="module")
def manifest(dataset_folder: Path) -> Dataset:
    return read_manifest(LocalStorage(dataset_folder))


@pytest.mark.parametrize(
    ("kept", "category"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (99_999, "10K<n<100K"),
        (100_000, "100K<n<1M"),
        (15_000_000, "10M<n<100M"),
    ],
)
def test_the_card_names_hugging_faces_size_category(manifest: Dataset, kept: int, category: str) -> None:
    text = card(manifest.model_copy(update={"kept": kept}), WORDS).decode()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["size_categories"] == [category]
    assert front["license"] == "cc-by-4.0"


def test_the_card_accounts_for_every_picture_and_for_separation(manifest: Dataset) -> None:
    text = card(manifest.model_copy(update={"kept": 230, "rejected": {"whim": 3, "blur": 7}}), WORDS).decode()
    assert "| pictures | 230 kept of 240 planned, 7 rejected by blur, 3 rejected by whim |" in text
    assert f"{manifest.certificate['max_cosine']:.6f}, at identities {manifest.certificate['pair']} (limit 0.4)" in text
    assert "under a recipe dated 2026-11-20" in text
    alone = manifest.model_copy(update={"certificate": {**manifest.certificate, "max_cosine": None, "pair": None}})
    assert "one identity only (limit 0.4)" in card(alone, WORDS).decode()


def test_the_card_says_whether_the_views_of_two_people_can_meet(manifest: Dataset) -> None:
    cones = manifest.certificate["cones"]
    for proof, words in (
        (
            {**cones, "narrowest_deg": 21.04, "widest_deg": 36.96},
            "cones of 21.0 to 37.0 degrees .*, no two of which meet",
        ),
        ({**cones, "disjoint": False}, "degrees about the identity vectors, some of which may overlap"),
        (None, "not bounded by cones"),
    ):
        changed = manifest.model_copy(update={"certificate": {**manifest.certificate, "cones": proof}})
        assert re.search(rf"\| views of one person \| .*{words} \|", card(changed, WORDS).decode())


def test_the_croissant_record_has_the_recipes_date_and_licence(manifest: Dataset) -> None:
    record = json.loads(croissant(manifest, WORDS))
    assert record["datePublished"] == "2026-11-20"
    assert record["license"] == "https://spdx.org/licenses/CC-BY-4.0"
    assert manifest.plan_hash in record["prov:wasGeneratedBy"]["prov:label"]


def test_a_contact_sheet_has_a_row_for_each_sequence_and_white_where_pictures_are_missing() -> None:
    pictures = [np.full((4, 4, 3), shade, np.uint8) for shade in (10, 20, 30)]
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet([pictures[:2], pictures[2:]]))))
    expected = np.full((8 + GAP_PX, 8 + GAP_PX, 3), 255, np.uint8)
    expected[:4, :4], expected[:4, -4:], expected[-4:, :4] = 10, 20, 30
    assert np.array_equal(sheet, expected)


def samples_of(folder: Path) -> list[dict[str, bytes]]:
    """All samples of a dataset, each its members by kind."""
    members = [member for tar in sorted(folder.glob("shards/*.tar")) for member in read_tar(tar.read_bytes())]
    return [
        {m.name.partition(".")[2]: m.data for m in members[first : first + 3]} for first in range(0, len(members), 3)
    ]


def test_the_datasets_sheet_shows_people_in_rows_in_the_order_of_their_views(dataset_folder: Path) -> None:
    shown = {
        simplejpeg.decode_jpeg(sample["jpg"]).tobytes(): json.loads(sample["json"])
        for sample in samples_of(dataset_folder)
    }
    sheet, pitch = np.asarray(Image.open(dataset_folder / "contact_sheet.png")), 32 + GAP_PX
    people = set()
    for top in range(0, sheet.shape[0], pitch):
        cells = (sheet[top : top + 32, left : left + 32] for left in range(0, sheet.shape[1], pitch))
        said = [shown[cell.tobytes()] for cell in cells if cell.min() < 255]
        (person,) = {picture["identity"] for picture in said}
        people.add(person)
        assert [picture["view"] for picture in said] == sorted({picture["view"] for picture in said})
    assert len(people) == 8
