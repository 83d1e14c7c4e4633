"""The chaos runner, small: what `python -m bench chaos --size full` does for an hour, for a minute."""

import json
import subprocess
import sys
from pathlib import Path

from bench.chaos.builds import RECIPE, Toll, bytes_at, judge, undisturbed_bytes
from synth.commit import commit_name, tar_name

SMALL = """
import json, sys
from pathlib import Path
from bench.chaos import Size, measure
found = measure(Size(kills=2, faults=20, kills_beside_faults=0, people=60), 2, Path(sys.argv[1]))
print(json.dumps({each.what: [each.value, each.met] for each in found}))
"""


def test_builds_that_are_killed_and_troubled_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    words = [sys.executable, "-c", SMALL, str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert [what for what, (_, met) in found.items() if met is False] == []
    for what in ("kills", "faults"):
        assert found[f"{what}: builds that ended otherwise"] == [0, True]
        assert found[f"{what}: orphans left after gc"] == [0, True]
    assert found["kills"][0] >= 2
    assert found["faults of the bucket"][0] >= 20


def test_a_build_that_lost_or_changed_something_is_judged_so(tmp_path: Path) -> None:
    """Or else the runner would say that all is well, whatever happened."""
    assert RECIPE[0] == "barcode"
    undisturbed = undisturbed_bytes(40, tmp_path / "undisturbed")

    def judged(code: int = 0) -> Toll:
        toll = Toll()
        judge(str(tmp_path / "undisturbed"), code, undisturbed, toll)
        return toll

    assert judged().wrong == []
    assert judged(3).wrong == [f"{tmp_path / 'undisturbed'}: ended with 3"]
    for name in (commit_name(1), "dataset.json"):  # which would still bind the shard's files
        (tmp_path / "undisturbed" / name).unlink()
    lost = judged()
    assert lost.orphans == 2  # its tar and its index, which gc then takes
    assert lost.left == 0
    assert "differs in dataset.json, index/000001.parquet, shards/000001.tar" in lost.wrong[0]
    (tmp_path / "undisturbed" / tar_name(0)).write_bytes(b"other")
    assert len(bytes_at(str(tmp_path / "undisturbed"))) == len(undisturbed) - 3
    assert "shards/000000.tar" in judged().wrong[0]
