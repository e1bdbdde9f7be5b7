"""The notebook runs from its first cell to its last, offline."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.docs.pages import ROOT

NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


@pytest.mark.slow
def test_it_runs_and_shows_a_plot_and_two_clips(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in output.data for output in shown) == 1
    assert sum("<audio" in output.data.get("text/html", "") for output in shown) == 2
    assert len(list((tmp_path / "runs" / "notebook" / "audio").rglob("*.flac"))) == 24


def test_it_is_small_and_its_outputs_are_those_of_its_cells():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert NOTEBOOK.stat().st_size < 200_000
    assert all(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
