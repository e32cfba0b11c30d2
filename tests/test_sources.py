"""What the packages that serve must never do: run what they read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for package in ("models", "voices", "deployments") for path in (ROOT / package).rglob("*.py"))
FORBIDDEN = frozenset({
    "torch.load", "torch.jit.load", "torch.package", "pickle.load", "pickle.loads", "cloudpickle.load",
    "cloudpickle.loads", "marshal.loads", "marshal.load", "shelve.open", "joblib.load", "numpy.load", "np.load",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen", "tempfile.mktemp", "eval", "exec",
})  # fmt: skip
MODULES = frozenset({"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"})


def offences(source: str) -> Iterator[str]:
    """Calls and imports by which bytes become code, and commands that go through a shell."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (f"import {alias.name}" for alias in node.names if alias.name.partition(".")[0] in MODULES)
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from (f"from {name}" for name in names & FORBIDDEN)
            if (node.module or "").partition(".")[0] in MODULES:
                yield f"from {node.module}"
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FORBIDDEN:
                yield name
            if any(each.arg == "shell" and ast.unparse(each.value) != "False" for each in node.keywords):
                yield f"{name} with a shell"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_is_read_is_run(path: Path) -> None:
    assert list(offences(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load('x')", "import pickle", "from pickle import loads", "from torch import load",
        "import yaml\nyaml.load(x, Loader=None)", "import subprocess\nsubprocess.run('ls', shell=True)", "eval('1')",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert list(offences(source))
