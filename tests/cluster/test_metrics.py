"""What is counted of a build, and that the dashboard asks for nothing else."""

import json
import re
from collections import Counter
from pathlib import Path

from cluster.metrics import METRICS, counts
from jobs.recipe import Recipe
from synth.commit import read_commits
from synth.storage import open_storage
from synth.workshop import ShardFailure

DASHBOARD = Path(__file__).parent.parent.parent / "cluster" / "templates" / "grafana.json"


def test_the_counts_of_all_shards_are_those_of_the_dataset(small_recipe: Recipe, dataset_folder: Path) -> None:
    commits = [commit for commit in read_commits(open_storage(str(dataset_folder)), range(5)) if commit]
    total: Counter[str] = Counter()
    for commit in commits:
        for count in counts(commit):
            assert set(count.labels) == set(METRICS[count.name].labels)
            total["/".join([count.name, *count.labels.values()])] += count.amount  # type: ignore[assignment]
    manifest = json.loads((dataset_folder / "dataset.json").read_text())
    assert total["hypersynth_shards_total"] == 5
    assert total["hypersynth_pictures_total/kept"] == manifest["kept"]
    assert total["hypersynth_pictures_total/rejected"] == 240 - manifest["kept"]
    for reason, amount in manifest["rejected"].items():
        assert total[f"hypersynth_rejections_total/{reason}"] == amount
    assert total["hypersynth_bytes_total/tar"] == sum(shard["bytes"] for shard in manifest["shards"])
    assert total["hypersynth_stage_seconds_total/render"] > 0
    assert total["hypersynth_stage_seconds_total/store"] > 0


def test_failures_are_left_to_the_driver() -> None:
    assert list(counts(ShardFailure(1, "bug", "trouble"))) == []


def test_the_dashboard_asks_for_what_is_counted_and_for_all_of_it() -> None:
    text = DASHBOARD.read_text()
    panels = json.loads(text)["panels"]
    asked = set(re.findall(r"ray_(hypersynth_\w+)", text))
    assert asked == set(METRICS)
    for panel in panels:
        for target in panel["targets"]:
            for name, labels in re.findall(r"ray_(hypersynth_\w+)\{([^}]*)\}", target["expr"]):
                used = set(re.findall(r"(\w+)(?:=~|!=|=)", labels)) - {"plan"}
                assert used <= set(METRICS[name].labels)
    places = [tuple(panel["gridPos"][key] for key in "xy") for panel in panels]
    assert len(set(places)) == len(places)
