"""The demo: what a newcomer runs first, from drawn faces to a report that has something to show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from running import run_emodetect


@pytest.mark.nightly
def test_the_demo_has_mistakes_to_show(tmp_path: Path) -> None:
    """It names files that are there, and its model is good, but not so good that nothing fails."""
    done = run_emodetect("demo", "--output", "shown", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    named = [line.split()[-1] for line in done.stdout.splitlines()[-5:]]
    assert len(named) == 5
    assert all((tmp_path / name).is_file() for name in named), named
    report = tmp_path / "shown" / "report"
    metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    assert 0.7 < metrics["accuracy"] < 0.99
    assert "Worst mistakes" in (report / "report.html").read_text(encoding="utf-8")
    assert (report / "mistakes.png").is_file()
    again = run_emodetect("demo", "--output", "shown", cwd=tmp_path)
    assert again.returncode == 1
    assert "--force" in again.stderr
