"""The short forms of the scripts that try to break what emodetect promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import posix_only

STRESS = Path(__file__).parents[1] / "scripts" / "stress"

SHORT_FORMS = {
    "images": ("--count", "40"),
    "models": ("--count", "8", "--only", "zip", "--only", "weights", "--only", "network"),
    "attacks": ("--only", "attacks", "--without-keras"),
    "texts": ("--count", "360"),
    "disk": ("--only", "predict pictures", "--bytes", "500"),
    "soak": ("--seconds", "6", "--only", "idle", "--only", "streams"),
    "kills": ("--only", "predict csv", "--tries", "1"),
}


@posix_only
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.nightly if name == "soak" else ())
        for name in SHORT_FORMS
    ],
)
def test_nothing_breaks(name: str) -> None:
    """What is broken, forged, cut off and killed at random does no harm."""
    script = STRESS / f"{'models' if name == 'attacks' else name}.py"
    done = subprocess.run(
        [sys.executable, str(script), *SHORT_FORMS[name]],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout


def test_the_docs_name_every_script() -> None:
    """docs/reliability.md tells of each script that breaks something, and of none that is gone."""
    text = (STRESS.parents[1] / "docs" / "reliability.md").read_text(encoding="utf-8")
    scripts = {path.name for path in STRESS.glob("*.py") if "__main__" in path.read_text("utf-8")}
    assert set(re.findall(r"`(\w+\.py)", text)) == scripts
