"""Folders that results are written to: what is wrong with one is told before the work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from emodetect.cli import app
from emodetect.errors import EmodetectError
from emodetect.machine.output_folder import check_output_file, check_output_folder


def test_a_folder_that_can_be_made_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New folders, also several levels of them and below the current one, pass and are not made."""
    monkeypatch.chdir(tmp_path)
    check_output_folder(tmp_path / "one" / "two", force=False)
    check_output_folder(Path("one") / "two", force=False)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without permission, or on a disk to be read only, the folder that refuses is named."""

    def refuses(path: Path, mode: int) -> bool:  # the tests may run as root, who may write all
        return path != tmp_path or not mode & os.W_OK

    monkeypatch.setattr(os, "access", refuses)
    for folder in (tmp_path, tmp_path / "one" / "two"):
        with pytest.raises(EmodetectError, match=f"cannot write to {tmp_path};"):
            check_output_folder(folder, force=True)


def test_a_current_folder_that_is_closed_to_the_user_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after `sudo -u other` in a folder of one's own: not even "." can be looked up there."""
    for name in ("access", "path.exists", "path.lexists"):
        monkeypatch.setattr(f"os.{name}", lambda *_: False)
    with pytest.raises(EmodetectError, match="cannot write to"):
        check_output_folder(Path("new"), force=False)


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--data", "folder:absent"],
        ["evaluate", "--data", "folder:absent", "--data", "folder:absent_too"],
        ["data", "audit", "folder:absent"],
        ["compare", "absent", "absent_too"],
        ["train", "--config", "fine_tuning", "--set", "data.path=absent"],
    ],
    ids=["evaluate", "matrix", "audit", "compare", "train"],
)
def test_a_folder_below_a_file_is_told_before_the_work(words: list[str], tmp_path: Path) -> None:
    """The fault of --output comes before that of missing data, and thus before the work."""
    file = tmp_path / "file"
    file.write_text("")
    result = CliRunner().invoke(app, [*words, "--output", str(file / "below" / "out")])
    assert isinstance(result.exception, EmodetectError)
    assert f"{file} is not a folder" in str(result.exception)


def test_a_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    """What exists is refused with the way out; a missing folder and a folder are named."""
    file = tmp_path / "a.png"
    check_output_file(file, force=False)
    file.write_text("mine")
    check_output_file(file, force=True)
    with pytest.raises(EmodetectError, match=r"a.png: already exists; .*--force"):
        check_output_file(file, force=False)
    with pytest.raises(EmodetectError, match="no does not exist"):
        check_output_file(tmp_path / "no" / "a.png", force=True)
    with pytest.raises(EmodetectError, match="is a folder"):
        check_output_file(tmp_path, force=True)


@pytest.mark.parametrize(
    "words", [["evaluate"], ["compare", "a", "b"], ["data", "audit", "a"], ["demo"], ["train"]]
)
def test_a_folder_is_not_named_like_a_file(words: list[str], tmp_path: Path) -> None:
    """--output report.html makes no folder of that name."""
    result = CliRunner().invoke(app, [*words, "--output", str(tmp_path / "report.html")])
    assert result.exit_code == 2
    assert "expected a folder, got the name of a file" in result.stderr
