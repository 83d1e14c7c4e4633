"""Plots of stored identities: there, whole, the same every time, and only those that make sense."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from samplers.errors import DatasetError, MissingPackageError, StorageError
from samplers.hands import Threads
from samplers.identities import Identities, IdentitySpec, draw_identities
from samplers.packing import PackingLaw
from samplers.priors import UniformPrior
from samplers.separation import Wanted
from samplers.variations import Cone
from synth.anchors import CERTIFICATE, read_certificate, read_course, read_people, write_anchors
from synth.plots import COLUMNS, COSINES, PACKING, SATURATION, figures, write_plots
from synth.storages.local import LocalStorage

SIZE_PX = (960, 600)


def drawn(count: int = 60, max_cosine: float = 0.5, law: PackingLaw | None = None) -> Identities:
    return draw_identities(IdentitySpec(UniformPrior(), 1, 32, Wanted(count, max_cosine), Cone(), law), Threads())


@pytest.fixture(scope="module")
def sifted() -> Identities:
    return drawn()


@pytest.fixture(scope="module")
def packed() -> Identities:
    return drawn(law=PackingLaw(20))


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


def stored(storage: LocalStorage, identities: Identities) -> LocalStorage:
    write_anchors(storage, identities, {})
    return storage


def documents(storage: LocalStorage) -> tuple[dict[str, Any], pa.Table, dict[str, Any]]:
    return read_certificate(storage), read_people(storage, COLUMNS), read_course(storage)


def looks_like_a_plot(data: bytes) -> bool:
    """Whether these are a PNG of the stated size, mostly white but not wholly, that names no program and no date."""
    with Image.open(io.BytesIO(data)) as picture:
        grey = picture.convert("L").histogram()
        inked = 1 - grey[255] / sum(grey)
        return (
            (picture.format, picture.size) == ("PNG", SIZE_PX) and 0.01 < inked < 0.6 and set(picture.info) <= {"dpi"}
        )


def test_sifted_identities_give_two_plots(storage: LocalStorage, sifted: Identities) -> None:
    names = write_plots(stored(storage, sifted))
    assert names == [COSINES, SATURATION] == [file.name for file in storage.list("plots/")]
    assert all(looks_like_a_plot(storage.read(name)) for name in names)


def test_packed_identities_give_a_third(storage: LocalStorage, packed: Identities) -> None:
    names = write_plots(stored(storage, packed))
    assert names == [COSINES, SATURATION, PACKING]
    assert all(looks_like_a_plot(storage.read(name)) for name in names)


def test_the_same_storage_gives_the_same_bytes(storage: LocalStorage, packed: Identities) -> None:
    first = {name: storage.read(name) for name in write_plots(stored(storage, packed))}
    again = {name: storage.read(name) for name in write_plots(storage)}
    assert first == again == figures(*documents(storage))


@pytest.mark.parametrize("count", [1, 2])
def test_few_identities_can_be_drawn(storage: LocalStorage, count: int) -> None:
    names = write_plots(stored(storage, drawn(count)))
    assert names == [COSINES, SATURATION]
    assert all(looks_like_a_plot(storage.read(name)) for name in names)


def test_one_step_of_packing_can_be_drawn(storage: LocalStorage) -> None:
    write_plots(stored(storage, drawn(10, 0.9, PackingLaw(1))))
    assert looks_like_a_plot(storage.read(PACKING))


def test_packing_that_took_no_step_is_not_drawn(storage: LocalStorage, packed: Identities) -> None:
    certificate, people, course = documents(stored(storage, packed))
    assert set(figures(certificate, people, {**course, "packing": {"history": []}})) == {COSINES, SATURATION}


def test_a_prior_without_pairs_and_no_limit_can_be_drawn(storage: LocalStorage) -> None:
    certificate, people, course = documents(stored(storage, drawn(1, 1.0)))
    nothing = [0] * len(course["prior_histogram"])
    plots = figures(certificate, people, {**course, "prior_histogram": nothing})
    with Image.open(io.BytesIO(plots[COSINES])) as picture:
        assert picture.size == SIZE_PX


@pytest.mark.parametrize("changed", ["max_cosine", "limit", "welch_bound", "levenshtein_bound", "histogram"])
def test_what_the_certificate_says_shows_in_the_cosines(
    storage: LocalStorage, sifted: Identities, changed: str
) -> None:
    certificate, people, course = documents(stored(storage, sifted))
    before = certificate[changed]
    other = before[::-1] if changed == "histogram" else before - 0.03
    plots, changed_plots = (figures({**certificate, changed: to}, people, course) for to in (before, other))
    assert changed_plots[COSINES] != plots[COSINES]
    assert changed_plots[SATURATION] == plots[SATURATION]


def test_candidates_show_in_the_saturation_in_any_order(storage: LocalStorage, sifted: Identities) -> None:
    certificate, people, course = documents(stored(storage, sifted))
    plots = figures(certificate, people, course)
    turned = figures(certificate, people.take(list(range(len(people)))[::-1]), course)
    harder = people.set_column(1, "candidate", pa.array([10 * number for number in people["candidate"].to_pylist()]))
    assert turned == plots
    assert figures(certificate, harder, course)[SATURATION] != plots[SATURATION]


def test_what_is_not_stored_is_not_drawn(storage: LocalStorage) -> None:
    with pytest.raises(StorageError, match="certificate"):
        write_plots(storage)
    assert storage.list("plots/") == []


def test_a_damaged_certificate_is_not_drawn(storage: LocalStorage, sifted: Identities) -> None:
    stored(storage, sifted).replace(CERTIFICATE, json.dumps({"count": 60}).encode())
    with pytest.raises(DatasetError, match="damaged"):
        write_plots(storage)
    assert storage.list("plots/") == []


def test_without_matplotlib_the_error_holds_the_install_line(
    storage: LocalStorage, sifted: Identities, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(storage, sifted)
    for module in [module for module in sys.modules if module.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # Python's own way to say that it is not there
    with pytest.raises(MissingPackageError, match=r"pip install 'hypersynth\[plots\]'"):
        write_plots(storage)
    assert storage.list("plots/") == []
