"""The notebooks run from top to bottom, offline, in a fresh kernel, and are committed without outputs."""

from __future__ import annotations

import re
import time

import pytest

from conftest import ROOT

EXAMPLES = ROOT / "examples"


def run(name, folder):
    """Outputs of all cells."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    return outputs, "".join(output.get("text", "") for output in outputs)


def pictures(outputs):
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of jupyter's own parts
def test_quickstart_runs(tmp_path):
    start = time.monotonic()
    outputs, printed = run("quickstart.ipynb", tmp_path)
    assert time.monotonic() - start < 30
    assert "saves 60%" in printed
    assert "14,042 prompts" in printed
    assert pictures(outputs) >= 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_thresholds_runs(tmp_path):
    outputs, printed = run("thresholds.ipynb", tmp_path)
    assert "14,037 prompts" in printed
    assert "router-local-30%" in printed
    assert "checked: " in printed
    assert pictures(outputs) >= 3
    assert sum("text/html" in output.get("data", {}) for output in outputs) >= 3
    pages = ["".join(output["data"]["text/html"]) for output in outputs if "text/html" in output.get("data", {})]
    assert ["not measured" in page for page in pages if "fr-explore" in page] == [False, True]
    assert "fr-explore" in (tmp_path / "explorer.html").read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"my_mf", "mine.csv", "local.json", "explorer.html"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path):
    nbformat = pytest.importorskip("nbformat")
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_beyond_two_models_runs(tmp_path):
    outputs, printed = run("beyond_two_models.ipynb", tmp_path)
    assert "0.769  mid        gpt-5.4       Prove that" in printed
    assert "cheap if the threshold of mid were above" in printed
    assert "expensive if the threshold of expensive were 0.7691 or lower" in printed
    assert "without rule 'cheap tasks'" in printed
    assert "near route 'code'" in printed
    assert pictures(outputs) >= 1
    pages = ["".join(output["data"]["text/html"]) for output in outputs if "text/html" in output.get("data", {})]
    assert sum("fr-explain" in page for page in pages) == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_own_traffic_runs(tmp_path):
    outputs, printed = run("own_traffic.ipynb", tmp_path)
    assert printed.count("quality: not yet proven") >= 1
    assert "Proven: " in printed
    assert "went back from threshold" in printed
    fell = re.search(r"the mean score fell by (-?\d\.\d+)", printed)
    assert fell is not None
    assert float(fell[1]) <= 0.05
    assert pictures(outputs) >= 3
    assert (tmp_path / "proof" / "certificate.json").exists()
