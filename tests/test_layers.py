"""The law of the house: samplers < synth < cluster < jobs, and who may import Ray or catch everything."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("samplers", "synth", "cluster", "jobs")
MODULES = [path.relative_to(ROOT) for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]


def imported_packages(source: str) -> set[str]:
    """The top-level packages that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            found.add((node.module or "").partition(".")[0])
    return found


def broad_excepts(source: str) -> Iterator[int]:
    """Lines that catch everything."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            names = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"all"}
            if names & {"all", "Exception", "BaseException"}:
                yield node.lineno


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_from_its_own_layer_and_those_below(module: Path) -> None:
    allowed = LAYERS[: LAYERS.index(module.parts[0]) + 1]
    foreign = imported_packages((ROOT / module).read_text()) & {*LAYERS, "tests", "bench"}
    assert foreign <= set(allowed)


def test_a_breach_of_the_law_would_be_seen() -> None:
    assert "jobs" in imported_packages("def late():\n    from jobs.plan import make_plan\n")
    assert list(broad_excepts("try:\n    pass\nexcept (ValueError, Exception):\n    pass\n")) == [3]


def test_two_modules_import_ray() -> None:
    """One for work, one for jobs; the others of their room have it from there."""
    users = [module for module in MODULES if "ray" in imported_packages((ROOT / module).read_text())]
    assert users == [Path("cluster/ray_cluster.py"), Path("cluster/ray_jobs.py")]


def test_everything_is_caught_at_the_shard_boundary_alone() -> None:
    places = [module for module in MODULES for _ in broad_excepts((ROOT / module).read_text())]
    assert places == [Path("synth/workshop.py")]


def test_samplers_open_no_files() -> None:
    readers = {"pathlib", "io", "os", "shutil", "tempfile", "pyarrow"}
    for module in (module for module in MODULES if module.parts[0] == "samplers"):
        assert not imported_packages((ROOT / module).read_text()) & readers, module
