"""The loop: a training that is stopped, anywhere and however, ends as one that is not, or says why it cannot go on."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from samplers.errors import DatasetError, RecipeError, StorageError
from synth.training.checkpoint import CHECKPOINT
from synth.training.descent import Moment, rate_at, rate_share
from synth.training.journal import LOSSES, read_losses
from synth.training.loop import drawn_from, examine, moment_at, settings_hash, train
from synth.training.material import Examples, open_material
from synth.training.place import Place, claimed
from synth.training.plots import loss_curves
from synth.training.record import RECORD
from synth.training.settings import RateSettings
from tests.processes import LIMIT_S, free_port
from tests.training.making import FEW, STEPS, LinearTrainee, linear, trained


def state_of(folder: Path) -> dict[str, Any]:
    """The last checkpoint but for its time, every tensor as text."""
    kept = torch.load(folder / CHECKPOINT, weights_only=True)
    kept.pop("seconds")
    return {name: str(value) if name != "parts" else flat(value) for name, value in kept.items()}


def flat(node: Any, place: str = "") -> dict[str, Any]:
    """All leaves of a nest of dictionaries and lists, tensors as lists of numbers."""
    if isinstance(node, dict | list | tuple):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        return {key: leaf for name, inner in items for key, leaf in flat(inner, f"{place}/{name}").items()}
    return {place: node.tolist() if isinstance(node, Tensor) else node}


def results(folder: Path) -> tuple[bytes, bytes, dict[str, Any]]:
    """Weights, losses and the last checkpoint."""
    return (folder / "tiny.safetensors").read_bytes(), (folder / LOSSES).read_bytes(), state_of(folder)


@pytest.fixture(scope="module")
def undisturbed(codes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert trained(linear(codes), folder)[0] == folder / "tiny.safetensors"
    return results(folder)


@pytest.mark.parametrize("stops", [(1,), (7, 20, 33), (40,), (STEPS - 1,)])
def test_a_stopped_training_goes_on_to_the_same_weights_and_losses(
    codes: Path, tmp_path: Path, stops: tuple[int, ...], undisturbed: tuple[bytes, bytes, dict[str, Any]]
) -> None:
    for stop in stops:
        assert trained(linear(codes), tmp_path, stop_after=stop)[0] is None
        assert not (tmp_path / "tiny.safetensors").exists()
    assert trained(linear(codes), tmp_path)[0] is not None
    assert results(tmp_path) == undisturbed


@pytest.mark.parametrize("loaders", [1, 2])
def test_loader_processes_change_nothing(
    codes: Path, tmp_path: Path, loaders: int, undisturbed: tuple[bytes, bytes, dict[str, Any]]
) -> None:
    assert trained(linear(codes, loaders=loaders), tmp_path, stop_after=9)[0] is None
    trained(linear(codes, loaders=3 - loaders), tmp_path)
    assert results(tmp_path) == undisturbed


def test_holding_all_pictures_changes_nothing(
    codes: Path, tmp_path: Path, undisturbed: tuple[bytes, bytes, dict[str, Any]]
) -> None:
    assert trained(linear(codes, hold=True), tmp_path, stop_after=5)[0] is None
    trained(linear(codes, hold=True, loaders=1), tmp_path)
    assert results(tmp_path) == undisturbed


def test_a_training_that_is_told_to_stop_finishes_its_step_and_can_go_on(
    codes: Path, tmp_path: Path, undisturbed: tuple[bytes, bytes, dict[str, Any]]
) -> None:
    asked = iter([False, False, True])
    assert trained(linear(codes), tmp_path, stopped=lambda: next(asked))[0] is None
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 3
    trained(linear(codes), tmp_path)
    assert results(tmp_path) == undisturbed


def test_what_was_written_after_the_checkpoint_is_written_again(
    codes: Path, tmp_path: Path, undisturbed: tuple[bytes, bytes, dict[str, Any]]
) -> None:
    """As after a kill: the journal is ahead of the checkpoint, and its last line was cut off."""
    trained(linear(codes), tmp_path, stop_after=30)
    with (tmp_path / LOSSES).open("a") as journal:
        journal.write('{"step": 40, "far": 0.5}\n{"step": 50, "fa')
    trained(linear(codes), tmp_path)
    assert results(tmp_path) == undisturbed


def test_checkpoints_are_left_as_often_as_asked_for(codes: Path, tmp_path: Path) -> None:
    often = linear(codes, checkpoint_minutes=1e-9)
    stop = iter([False, False, False])
    with pytest.raises(StopIteration):  # as good as a kill in the fourth step
        trained(often, tmp_path, stopped=lambda: next(stop))
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 3


def test_a_finished_training_is_left_as_it_is(
    codes: Path, tmp_path: Path, undisturbed: tuple[bytes, bytes, dict[str, Any]]
) -> None:
    trained(linear(codes), tmp_path)
    kept = {name: (tmp_path / name).stat().st_mtime_ns for name in (RECORD, CHECKPOINT, "tiny.safetensors")}
    path, _, reports = trained(linear(codes, loaders=1), tmp_path)
    assert path == tmp_path / "tiny.safetensors"
    assert reports == []
    assert results(tmp_path) == undisturbed
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == kept


def test_what_a_kill_after_the_last_step_left_undone_is_done(
    codes: Path, tmp_path: Path, undisturbed: tuple[bytes, bytes, dict[str, Any]]
) -> None:
    trained(linear(codes), tmp_path)
    (tmp_path / RECORD).unlink()
    (tmp_path / "tiny.safetensors").unlink()
    trained(linear(codes), tmp_path)
    assert results(tmp_path) == undisturbed
    assert (tmp_path / RECORD).exists()


def test_the_record_names_all_machines_that_took_part(codes: Path, tmp_path: Path) -> None:
    trained(linear(codes), tmp_path, stop_after=3)
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    (own,) = kept["machines"]
    torch.save({**kept, "machines": ["another, torch 1.0"]}, tmp_path / CHECKPOINT)
    trained(linear(codes), tmp_path)
    assert json.loads((tmp_path / RECORD).read_text())["machines"] == ["another, torch 1.0", own]


def test_it_learns_and_tells_how_far_it_is(codes: Path, tmp_path: Path) -> None:
    path, trainee, reports = trained(linear(codes, steps=60), tmp_path)
    assert [report.step for report in reports] == [20, 40, 60]
    assert all(report.steps == 60 and report.pictures_per_s > 0 for report in reports)
    assert reports[0].seconds_left > 0 == reports[-1].seconds_left
    assert reports[-1].losses["far"] < reports[0].losses["far"] / 1.5
    lines = [json.loads(line) for line in (tmp_path / LOSSES).read_text().splitlines()]
    assert lines == [{"step": report.step, **report.losses} for report in reports]
    assert path is not None
    stored = load_file(path)
    for name, value in trainee.average.network.state_dict().items():
        assert torch.equal(stored[name], value.half())


def test_the_file_and_the_record_say_where_weights_come_from(codes: Path, tmp_path: Path) -> None:
    path, _, _ = trained(linear(codes), tmp_path)
    assert path is not None
    with safe_open(path, framework="pt") as opened:
        said = opened.metadata()
    assert (said["format"], said["kind"]) == ("hypersynth-network", "linear")
    assert json.loads(said["description"]) == {"side": 14}
    record = json.loads((tmp_path / RECORD).read_text())
    manifest = json.loads((codes / "dataset.json").read_text())
    known = {"name": "barcode", "plan_hash": manifest["plan_hash"], "pictures": 96, "people": 12}
    assert record["data"] == [known]
    assert record["settings"] == linear(codes).model_dump(mode="json")
    assert (record["processes"], record["bytes"]) == (1, path.stat().st_size)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 51}, "with other settings (steps is 50 there, not 51)"),
        ({"rate": RateSettings(peak=0.01, warm_up=0.1)}, "with other settings (rate.warm_up is 0.03 there, not 0.1)"),
        ({"seed": 2}, "with other settings (seed is 1 there, not 2)"),
    ],
)
def test_a_training_with_other_settings_is_refused(
    codes: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    trained(linear(codes), tmp_path, stop_after=2)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(DatasetError) as caught:
        trained(linear(codes, **change), tmp_path)
    assert str(caught.value) == f"{tmp_path} holds a training {message}; use another --out, or remove the folder"
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_where_pictures_lie_and_how_often_it_saves_are_no_other_settings(codes: Path, tmp_path: Path) -> None:
    other = {"loaders": 2, "hold": True, "checkpoint_minutes": 1, "name": "other"}
    assert settings_hash(linear(codes)) == settings_hash(linear(tmp_path, **other))
    assert settings_hash(linear(codes)) != settings_hash(linear(codes, threads=2))
    first, moved, changed = (tmp_path / name for name in "abc")
    for path, text in ((first, "1"), (moved, "1"), (changed, "2")):
        path.write_text(text)
    hashes = [settings_hash(linear(codes, start=str(path))) for path in (first, moved, changed)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_start_where_there_was_none_is_named(codes: Path, tmp_path: Path) -> None:
    trained(linear(codes), tmp_path / "out", stop_after=1)
    (tmp_path / "start").write_text("weights")
    with pytest.raises(DatasetError, match=r"with other settings \(start is None there, not \{'sha256': "):
        trained(linear(codes, start=str(tmp_path / "start")), tmp_path / "out")


def test_another_training_is_told_before_a_model_is_made(codes: Path, tmp_path: Path) -> None:
    trained(linear(codes), tmp_path, stop_after=1)
    material = open_material((str(codes),))
    examine(linear(codes), material, tmp_path)
    with pytest.raises(DatasetError, match="with other settings"):
        examine(linear(codes, seed=2), material, tmp_path)
    with pytest.raises(RecipeError, match="cannot share a batch"):
        examine(linear(codes), material, tmp_path, Place(0, 5))


def test_a_folder_belongs_to_one_training_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        claimed(out),
        pytest.raises(DatasetError, match=f"another process is training in {out}: wait for it"),
        claimed(out),
    ):
        pass
    with claimed(out), claimed(out, Place(1, 2)):
        pass


def test_a_dataset_of_the_same_plan_with_other_bytes_is_other_pictures(codes: Path, tmp_path: Path) -> None:
    """As of a machine that draws otherwise in the last bit."""
    place = tmp_path / "data"
    shutil.copytree(codes, place)
    trained(linear(place), tmp_path / "out", stop_after=2)
    manifest = json.loads((place / "dataset.json").read_text())
    manifest["shards"][0]["sha256"] = "0" * 64
    (place / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match="holds a training on other pictures"):
        examine(linear(place), open_material((str(place),)), tmp_path / "out")


def test_a_dataset_that_was_built_anew_is_refused(codes: Path, other_codes: Path, tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.symlink_to(codes)
    trained(linear(place), tmp_path / "out", stop_after=2)
    place.unlink()
    place.symlink_to(other_codes)
    with pytest.raises(DatasetError, match="holds a training on other pictures"):
        trained(linear(place), tmp_path / "out")


def test_another_number_of_processes_is_refused(codes: Path, tmp_path: Path) -> None:
    trained(linear(codes), tmp_path, stop_after=2)
    with pytest.raises(DatasetError, match="in 1 processes, not 2"):
        trained(linear(codes), tmp_path, place=Place(0, 2))


@pytest.mark.parametrize(("batch", "world"), [(12, 5), (4, 4)])
def test_batches_that_cannot_be_shared_are_refused(codes: Path, tmp_path: Path, batch: int, world: int) -> None:
    with pytest.raises(RecipeError, match=f"set batch to a multiple of {world}, {2 * world} at least"):
        trained(linear(codes, batch=batch), tmp_path / "out", place=Place(0, world))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_told_in_one_line(codes: Path, tmp_path: Path, damage: bytes | None) -> None:
    trained(linear(codes), tmp_path, stop_after=2)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-2000] if damage is None else damage)
    with pytest.raises(DatasetError, match=r"checkpoint\.pt is damaged; remove it"):
        trained(linear(codes), tmp_path)


@pytest.mark.parametrize("lost", ["machines", "parts", "network"])
def test_a_checkpoint_of_another_version_is_told_in_one_line(codes: Path, tmp_path: Path, lost: str) -> None:
    trained(linear(codes), tmp_path, stop_after=2)
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    (kept if lost in kept else kept["parts"]).pop(lost)
    torch.save(kept, tmp_path / CHECKPOINT)
    with pytest.raises(DatasetError, match="holds a training that another version of Hypersynth began"):
        trained(linear(codes), tmp_path)


def test_a_damaged_journal_is_told_in_one_line(codes: Path, tmp_path: Path) -> None:
    trained(linear(codes), tmp_path, stop_after=25)
    (tmp_path / LOSSES).write_bytes(bytes(100) + b"\n")
    with pytest.raises(DatasetError, match=r"losses\.jsonl is damaged; remove it to go on without the losses so far"):
        trained(linear(codes), tmp_path)
    (tmp_path / LOSSES).unlink()
    assert trained(linear(codes), tmp_path)[0] is not None


def test_a_folder_that_cannot_be_is_told_in_one_line(codes: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        trained(linear(codes), tmp_path / "file" / "out")
    with pytest.raises(StorageError, match="cannot write"), claimed(tmp_path / "file" / "out"):
        pass


def test_a_training_that_falls_apart_says_so_and_keeps_its_last_checkpoint(codes: Path, tmp_path: Path) -> None:
    wild = linear(codes, rate=RateSettings(peak=1e38, warm_up=0.5))
    trained(wild, tmp_path, stop_after=1)
    with pytest.raises(RecipeError, match=r"the training has fallen apart: .* lower rate\.peak"):
        trained(wild, tmp_path)
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert kept["step"] == 1
    assert all(value.isfinite().all() for value in kept["parts"]["network"].values())


class _Large(LinearTrainee):
    """Has a number that half precision does not hold, and a whole one."""

    def weights(self) -> dict[str, Tensor]:
        return {"large": torch.tensor([1.0, 7e4]), "small": torch.tensor([0.1]), "count": torch.tensor(3)}


def test_weights_are_stored_in_half_precision_where_that_holds_them(codes: Path, tmp_path: Path) -> None:
    settings = linear(codes, steps=1)
    material = open_material(settings.data)
    path = train(settings, material, _Large(settings, material), tmp_path, lambda report: None)
    assert path is not None
    stored = load_file(path)
    assert {name: value.dtype for name, value in stored.items()} == {
        "large": torch.float32,
        "small": torch.float16,
        "count": torch.int64,
    }
    assert float(stored["large"][1]) == 7e4


class _Late(LinearTrainee):
    """Has a second loss from the thirtieth step on: the number of the step."""

    def step(self, examples: Examples, moment: Moment) -> dict[str, Tensor]:
        late = {"late": torch.tensor(float(moment.step))} if moment.step >= 30 else {}
        return {**super().step(examples, moment), **late}


@pytest.mark.parametrize("stop", [None, 25, 33])
def test_a_loss_that_begins_late_is_the_mean_of_the_steps_that_had_it(
    codes: Path, tmp_path: Path, stop: int | None
) -> None:
    settings = linear(codes, steps=60)
    material = open_material(settings.data)
    for end in (stop, None):
        train(settings, material, _Late(settings, material), tmp_path, lambda report: None, stop_after=end)
    lines = read_losses(tmp_path / LOSSES)
    assert [line.get("late") for line in lines] == [None, 34.5, 49.5]
    first, again = (loss_curves(lines) for _ in range(2))
    assert first == again
    with Image.open(io.BytesIO(first)) as picture:
        assert (picture.format, picture.size) == ("PNG", (1530, 375))


def test_a_journal_without_lines_can_be_drawn() -> None:
    assert loss_curves([]).startswith(b"\x89PNG")
    assert loss_curves([{"step": 3, "loss": 1.0}]).startswith(b"\x89PNG")


def test_chance_is_of_seed_step_and_process_alone(codes: Path) -> None:
    def numbers(step: int, rank: int = 0, **changes: Any) -> list[float]:
        moment = moment_at(linear(codes, **changes), step, Place(rank, 2))
        found: list[float] = torch.rand(4, generator=moment.generator).tolist()
        return found

    assert numbers(3) == numbers(3)
    others = [numbers(3), numbers(4), numbers(3, rank=1), numbers(3, seed=2)]
    assert len({tuple(each) for each in others}) == 4


def test_initial_weights_leave_the_global_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    with drawn_from(1, "a"):
        first = torch.rand(3)
    with drawn_from(1, "b"):
        other = torch.rand(3)
    with drawn_from(1, "a"):
        again = torch.rand(3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_the_rate_rises_in_a_straight_line_and_falls_along_half_a_cosine() -> None:
    settings = RateSettings(peak=1, warm_up=0.1, last=0.01)
    shares = [rate_share(settings, share / 1000) for share in range(1001)]
    assert shares[0] == pytest.approx(0.02)
    assert shares[50] == pytest.approx(0.51)
    assert shares[100] == pytest.approx(1)
    assert shares[550] == pytest.approx(0.505)
    assert shares[1000] == pytest.approx(0.01)
    assert shares[:101] == sorted(shares[:101])
    assert shares[100:] == sorted(shares[100:], reverse=True)
    assert rate_share(RateSettings(peak=1, warm_up=0), 0) == 1


def test_a_horizon_spreads_the_rate_and_a_cool_down_ends_it(codes: Path) -> None:
    """The first steps are those of the longer training; the last ones fall straight to what is left at the end."""
    usual = RateSettings(peak=2, warm_up=0.1, last=0.1)
    long, short = linear(codes, rate=usual, steps=100), linear(codes, rate=usual, steps=60, horizon=100, cool_down=20)
    due = [rate_at(long, moment_at(long, step)) for step in range(100)]
    found = [rate_at(short, moment_at(short, step)) for step in range(60)]
    assert due == pytest.approx([2 * rate_share(usual, step / 100) for step in range(100)])
    assert found[:40] == due[:40]
    assert all(0.2 < now <= usually for now, usually in zip(found[40:], due[40:60], strict=True))
    assert found[40:] == sorted(found[40:], reverse=True)
    assert found[-1] == pytest.approx(0.2 + (due[59] - 0.2) / 20)
    with pytest.raises(ValueError, match="horizon 59 is nearer than the last of 60 steps"):
        linear(codes, steps=60, horizon=59)


def test_two_processes_learn_as_one_does_from_whole_batches(codes: Path, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from tests.training.making import rank_of_two as go; "
    words = [sys.executable, "-c", f"{code}go(*map(Path, sys.argv[1:]))", str(codes), str(tmp_path)]
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(words, env={**os.environ, **together, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    for process in processes:
        said = process.communicate(timeout=LIMIT_S)[1]
        assert process.returncode == 0, said
    first, second = (torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert flat(first) == flat(second)
    _, alone, _ = trained(linear(codes), tmp_path / "alone", noise=0, stop_after=FEW)
    for name, value in alone.network.state_dict().items():
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5)
