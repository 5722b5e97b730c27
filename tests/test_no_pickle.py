"""Nothing in the product unpickles, or runs what it reads: weights and records are data."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for package in ("shared", "server", "client", "demo") for path in (ROOT / package).rglob("*.py"))
MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
CALLS = {
    "torch.load",
    "torch.jit.load",
    "torch.package.PackageImporter",
    "pd.read_pickle",
    "pandas.read_pickle",
    "eval",
    "exec",
}


def faults(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] * (node.module.partition(".")[0] in MODULES)
            found += [f"torch.{alias.name}" for alias in node.names if node.module == "torch" and alias.name == "load"]
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            allowing = [word for word in node.keywords if word.arg == "allow_pickle"]
            found += [name] * (name in CALLS or any(ast.unparse(word.value) != "False" for word in allowing))
    return found


def test_no_source_unpickles() -> None:
    assert len(SOURCES) > 100
    assert {str(path.relative_to(ROOT)): faults(path.read_text()) for path in SOURCES if faults(path.read_text())} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "from torch import load",
        "torch.load(path)",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=True)",
        "def f():\n    import joblib.numpy_pickle",
        "eval(text)",
    ],
)
def test_what_it_looks_for_is_found(source: str) -> None:
    assert faults(source)
    assert not faults("import json\nnp.load(path, allow_pickle=False)\nmodel.eval()\nload(path)")
