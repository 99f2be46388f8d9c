"""Commands where libraries that they need are not installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import run_without


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--config", "demo"),
        ("train", "--resume", "{faces}"),
        ("tune", "--config", "demo", "--search", "model.dropout=0..0.5", "--output", "runs"),
        ("export", "--to", "tflite"),
        ("predict", "{photo}", "--explain", "why"),
        ("predict", "{photo}", "--runtime", "keras"),
        ("predict", "{photo}", "--model", "{model}", "--labels", "bored,tired"),
        ("data", "show", "{faces}"),
        ("data", "convert", "{faces}", "shards", "--to", "tfrecord"),
        ("demo",),
    ],
)
def test_without_tensorflow_a_command_that_needs_it_says_how_to_install_it(
    words: tuple[str, ...], faces: Path, artifact: Path
) -> None:
    """As in the slim Docker image: one line with the pip command, exit status 1, no traceback."""
    photo = next((faces / "happy").iterdir())
    done = run_without(
        ("tensorflow", "keras"),
        *(word.format(faces=faces, photo=photo, model=artifact) for word in words),
        cwd=faces.parent,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    error = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert "pip install tensorflow keras" in error[0]
    assert not (faces.parent / "runs").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "--data", "{faces}", "--output", "report", "--bootstrap", "100"),
        ("data", "audit", "{faces}"),
        (
            "data",
            "split",
            "{faces}",
            "--output",
            "splits.csv",
            "--test",
            "0.3",
            "--validation",
            "0.4",
        ),
        ("predict", "{faces}"),
    ],
)
def test_without_tensorflow_all_else_works(words: tuple[str, ...], faces: Path) -> None:
    """Evaluating and predicting needs LiteRT only; what is left out for its lack is said."""
    named = [word.format(faces=faces) for word in words]
    (first, *_, last) = sorted(faces.iterdir())
    next(first.iterdir()).rename(last / "wrong.png")  # without a mistake, no heat map is drawn
    done = run_without(("tensorflow", "keras"), *named, cwd=faces.parent)
    assert done.returncode == 0, done.stderr
    if words[0] == "evaluate":  # there are no heat maps
        assert "pip install tensorflow keras" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "package", "words"),
    [
        ("matplotlib", "matplotlib", ("evaluate", "--data", "{faces}")),
        ("matplotlib", "matplotlib", ("video", "none.mp4", "--timeline", "plot.png")),
        ("sklearn", "scikit-learn", ("data", "split", "{faces}", "--output", "splits.csv")),
        ("scipy", "scipy", ("data", "audit", "{faces}")),
    ],
)
def test_any_other_missing_library_is_one_line(
    module: str, package: str, words: tuple[str, ...], faces: Path
) -> None:
    """The line has the name that pip knows the library by."""
    named = [word.format(faces=faces) for word in words]
    done = run_without((module,), *named, cwd=faces.parent)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: this needs {module}, which is not installed. Install it: pip install {package}"
    )
