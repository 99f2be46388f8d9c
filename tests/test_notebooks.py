"""The notebooks of docs/notebooks: they run as they are, and can be read without running them."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import rich.console
from nbclient import NotebookClient

from emodetect.training.epoch_display import EpochDisplay

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.nightly] * path.stem.startswith("2"))
        for path in NOTEBOOKS  # the second trains
    ],
)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    """Every cell runs in an empty folder, without a network and data of one's own."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()  # raises CellExecutionError


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_can_be_read_without_running_it(path: Path) -> None:
    """Its outputs and pictures are in the file, which is small and names no writer's folder."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    shown = [output.get("data", {}) for output in outputs]
    assert any("image/png" in data or "<img" in data.get("text/html", "") for data in shown)
    text = path.read_text(encoding="utf-8")
    assert len(text) < 10**6
    assert not re.search(r"/(?:home|tmp|root|Users|work)/", text)


def test_an_epoch_is_a_line_of_text_in_a_notebook(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is on stdout, as stderr looks like an error there, whole, and without a bar's codes."""
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as kernels do
    display = EpochDisplay(phase="fine-tuning", epochs=2, steps=1, batch_size=8)
    display.on_epoch_begin(0)
    display.on_train_batch_end(0)
    display.on_epoch_end(0, {"accuracy": 0.5, "val_accuracy": 0.25})
    out, err = capsys.readouterr()
    assert err == ""
    assert re.fullmatch(
        r"epoch 1/2 \(fine-tuning\)  accuracy 50.0%  val_accuracy 25.0%  "
        r"\d+ s with validation, training at \d+ images/s\n",
        out,
    )


def test_there_are_three() -> None:
    """Photos and videos, training, and judging each have one."""
    assert [path.stem for path in NOTEBOOKS] == [
        "1_photos_and_videos",
        "2_train_on_your_own_folder",
        "3_judge_and_compare",
    ]
