"""Files are there complete, or not at all; and what is locked."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import pytest
from running import posix_only

from emodetect.machine import atomic_files
from emodetect.machine.atomic_files import PARTIAL_FILES, atomic_write, to_disk, write_text
from emodetect.machine.locks import locked


def test_an_interrupted_file_leaves_the_old_one(tmp_path: Path) -> None:
    """Ctrl-C half way leaves what was there before and nothing else; the next writing is whole."""
    path = tmp_path / "page.html"
    path.write_text("old")

    def write(text: str, error: type[BaseException] | None = None) -> None:
        with atomic_write(path) as partial:
            partial.write_text(text)
            if error:
                raise error

    with pytest.raises(KeyboardInterrupt):
        write("half", KeyboardInterrupt)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"page.html": "old"}
    write("new")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"page.html": "new"}


@pytest.mark.parametrize(("refusals", "moved"), [(3, True), (99, False)])
def test_a_file_that_another_program_looks_into_is_moved_a_moment_later(
    refusals: int, moved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Virus scanners open what is new, and Windows moves no open file."""
    path = tmp_path / "page.html"
    path.write_text("old")
    replace = Path.replace
    tries = iter(range(refusals))

    def refuse(source: Path, target: Path) -> Path:
        if next(tries, None) is not None:
            raise PermissionError(13, "Permission denied", str(source))
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(atomic_files, "SECONDS_BETWEEN_MOVES", 0)
    monkeypatch.setattr("sys.platform", "win32")
    with nullcontext() if moved else pytest.raises(PermissionError, match="page"):
        write_text(path, "new")
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {
        "page.html": "new" if moved else "old"
    }


def test_what_goes_to_the_disk_is_open_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses to commit a file that is only read, and a trained model would be lost."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.write(descriptor, b"x"))
    (tmp_path / "file").write_bytes(b"abc")
    to_disk(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"xbc"


def test_two_writers_of_one_process_do_not_mix(tmp_path: Path) -> None:
    """Each has a file of its own, also of the same path; the last to end is what remains."""
    path = tmp_path / "page.html"
    with atomic_write(path) as first:
        with atomic_write(path) as second:
            first.write_text("first")
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"


def test_only_files_left_behind_are_taken_for_such(tmp_path: Path) -> None:
    """The hidden files and folders of others, whatever number they end in, are none."""
    for name in (".env.1", ".notes.2024.txt", ".backup.2024", ".page.html.123.partial"):
        (tmp_path / name).touch()
    with atomic_write(tmp_path / "page.html") as partial:
        partial.touch()
        assert [*tmp_path.glob(PARTIAL_FILES)] == [partial]


def test_a_long_name_is_cut_between_characters(tmp_path: Path) -> None:
    """The temporary name is Unicode too, which some disks and programs insist on."""
    for beginning in ("", "a", "ab"):  # one of them cuts a character of three bytes
        path = tmp_path / f"{beginning}{'字' * 80}.txt"
        with atomic_write(path) as partial:
            partial.name.encode()
            partial.write_text("whole")
        assert path.read_text() == "whole"


@posix_only
def test_a_pipe_is_not_locked(tmp_path: Path) -> None:
    """Opening it to lock it would wait for a writer, or hide that nobody reads it."""
    os.mkfifo(tmp_path / "pipe")
    with locked(tmp_path / "pipe", wait=True) as lock:
        assert lock == "unknown"
    with locked(tmp_path, wait=False) as lock:
        assert lock == "held"
