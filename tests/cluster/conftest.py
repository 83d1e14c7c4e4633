"""What the tests of this room hold builds against."""

import pytest

from tests.cluster.making import SHARDS, command, run
from tests.files import commits, digests


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bytes of a build in one process, without Ray."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ended = run(command(folder, 0))
    assert ended.returncode == 0, ended.stderr
    assert len(commits(folder)) == SHARDS
    return digests(folder)
