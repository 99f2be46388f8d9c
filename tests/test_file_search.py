"""Which photos `predict` finds: folders, patterns and lists, in which order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import posix_only

from emodetect.errors import EmodetectError
from emodetect.recognition.photos.file_search import find_photos, listed_names, with_own_places


@pytest.fixture
def albums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of empty files, with the current folder at its top."""
    for name in (
        "albums/2023/b.jpg",
        "albums/2023/a.PNG",
        "albums/2023/notes.txt",
        "albums/2023/.hidden.jpg",
        "albums/2024/spring/c.jpg",
        "albums/2024/d.jpg",
        "albums/.trash/e.jpg",
        "albums/f.jpg",
        "other[1]/g.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _found(*named: str) -> list[str]:
    return [str(photo.path) for photo in find_photos(map(Path, named)) if photo]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("albums/*.jpg", ["albums/f.jpg"]),
        ("albums/*/*.jpg", ["albums/2023/b.jpg", "albums/2024/d.jpg"]),
        (
            "albums/**/*.jpg",
            [
                "albums/2023/b.jpg",
                "albums/2024/d.jpg",
                "albums/2024/spring/c.jpg",
                "albums/f.jpg",
            ],
        ),
        ("albums/**/s*/**/c.*", ["albums/2024/spring/c.jpg"]),
        ("albums/202[34]/?.PNG", ["albums/2023/a.PNG"]),
        # A folder that matches is searched whole, as if the shell had named it.
        ("albums/*4", ["albums/2024/d.jpg", "albums/2024/spring/c.jpg"]),
        ("albums/2024/**", ["albums/2024/d.jpg", "albums/2024/spring/c.jpg"]),
        ("albums/.t*/*.jpg", ["albums/.trash/e.jpg"]),
        ("**/*.PNG", ["albums/2023/a.PNG"]),
        ("other[1]/*.jpg", ["other[1]/g.jpg"]),
        ("other[1]/g.jpg", ["other[1]/g.jpg"]),
        # What matches nothing is told as it is.
        ("albums/*.webp", ["albums/*.webp"]),
        ("nowhere/*.jpg", ["nowhere/*.jpg"]),
        ("albums/f.jpg/*.jpg", ["albums/f.jpg/*.jpg"]),
    ],
)
def test_patterns_match_as_in_a_shell(albums: Path, pattern: str, found: list[str]) -> None:
    """A quoted pattern finds each image that a shell's would, once and sorted."""
    assert _found(pattern) == found


def test_folders_come_sorted_with_their_hidden_files(albums: Path) -> None:
    """Files and folders of a folder are sorted together by name, at any depth."""
    assert _found("albums") == [
        "albums/.trash/e.jpg",
        "albums/2023/.hidden.jpg",
        "albums/2023/a.PNG",
        "albums/2023/b.jpg",
        "albums/2024/d.jpg",
        "albums/2024/spring/c.jpg",
        "albums/f.jpg",
    ]


def test_a_folder_that_vanishes_is_told(albums: Path) -> None:
    """A folder that goes while others are searched comes out itself, to end as an error."""
    photos = find_photos([Path("albums")])
    assert str(next(photos).path) == "albums/.trash/e.jpg"
    for file in ("a.PNG", "b.jpg", "notes.txt", ".hidden.jpg"):
        (albums / "albums/2023" / file).unlink()
    (albums / "albums/2023").rmdir()
    assert "albums/2023" in [str(photo.path) for photo in photos if photo]


def test_links_to_folders_do_not_make_a_search_endless(albums: Path) -> None:
    """A link to a folder above is not followed."""
    (albums / "albums" / "2024" / "up").symlink_to(albums / "albums")
    assert len(_found("albums")) == 7
    assert len(_found("albums/**/*.jpg")) == 4


def _listed(tmp_path: Path, data: bytes, **options: bytes) -> list[Path]:
    file = tmp_path / "list"
    file.write_bytes(data)
    descriptor = os.open(file, os.O_RDONLY)
    try:
        names = listed_names(descriptor, **options)
        return [Path(name) for name in names if name is not None]
    finally:
        os.close(descriptor)


def test_a_list_is_read_as_programs_write_it(tmp_path: Path) -> None:
    """Line ends of Unix and Windows, empty lines, no last line end, and NULs are understood."""
    assert _listed(tmp_path, b"a.jpg\r\n\r\n\nb c.jpg\n*.jpg\r\n\r") == [
        Path("a.jpg"),
        Path("b c.jpg"),
        Path("*.jpg"),
    ]
    assert _listed(tmp_path, b"a\nb.jpg\0c.jpg\0", separator=b"\0") == [
        Path("a\nb.jpg"),
        Path("c.jpg"),
    ]
    assert _listed(tmp_path, "a.jpg\n".encode("utf-8-sig")) == [Path("a.jpg")]
    assert _listed(tmp_path, b"\xef\xbb\xbfa\r\0b.jpg\r\0", separator=b"\0") == [
        Path("\ufeffa\r"),
        Path("b.jpg\r"),
    ]
    (odd,) = _listed(tmp_path, b"\xff\xfe.jpg\n")
    assert os.fsencode(odd) == b"\xff\xfe.jpg"


def test_a_long_list_is_read_whole(tmp_path: Path) -> None:
    """Paths that lie across the pieces in which a list is read stay whole."""
    names = [f"folder/{number:06d}.jpg" for number in range(20_000)]
    assert _listed(tmp_path, "\n".join(names).encode()) == [Path(name) for name in names]


@pytest.mark.parametrize("data", [b"a.jpg\0b.jpg\0", b"x" * 200_000])
def test_what_is_no_list_is_refused(tmp_path: Path, data: bytes) -> None:
    """NULs without -0, and bytes without any line end, end in one clear line."""
    with pytest.raises(EmodetectError, match="-0"):
        _listed(tmp_path, data)


def test_a_list_in_another_encoding_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PowerShell writes UTF-16, and programs of Windows an older encoding that is no UTF-8."""
    with pytest.raises(EmodetectError, match="in UTF-8, got UTF-16"):
        _listed(tmp_path, "a.jpg\r\n".encode("utf-16"))
    monkeypatch.setattr(os, "fsdecode", bytes.decode)  # as on Windows
    with pytest.raises(EmodetectError, match=r"in UTF-8, got b'gr\\xfc\.jpg'"):
        _listed(tmp_path, b"gr\xfc.jpg\n")


def test_an_empty_list_is_refused() -> None:
    """A list without a path is an error, and not a success without results."""
    with pytest.raises(EmodetectError, match="list on standard input is empty"):
        list(find_photos([Path("-")], listed=iter([None])))


def test_what_is_listed_is_no_pattern(albums: Path) -> None:
    """Names in a list come from programs: a missing file's name is not matched with others."""
    photos = find_photos([Path("-")], listed=[Path("albums/?.jpg"), Path("albums/2024")])
    assert [str(photo.path) for photo in photos if photo] == [
        "albums/?.jpg",
        "albums/2024/d.jpg",
        "albums/2024/spring/c.jpg",
    ]


def test_nothing_is_read_ahead_of_a_slow_list() -> None:
    """Each listed photo comes out before the next one is asked for."""
    asked = []

    def slow() -> Iterator[Path | None]:
        for name in ("a.jpg", "b.jpg"):
            asked.append(name)
            yield Path(name)
            yield None

    photos = find_photos([Path("-")], listed=slow())
    assert next(photos).path == Path("a.jpg")
    assert next(photos) is None
    assert asked == ["a.jpg"]


def test_places_of_results_differ_on_any_disk() -> None:
    """A HEIC photo's copy is a PNG, and many file systems ignore the case of names."""
    named = [Path(name) for name in ("a/x.heic", "b/x.heic.png", "c/y.jpg", "d/Y.JPG")]
    places = [photo.inner.name for photo in with_own_places(find_photos(named)) if photo]
    assert places == ["x.heic", "x.heic-2.png", "y.jpg", "Y-2.JPG"]


def test_places_of_results_are_all_different(albums: Path) -> None:
    """Photos of one name from many folders, and those that have the numbered name, keep apart."""
    named = [Path(name) for name in ("a/x.jpg", "b/x.jpg", "c/x-2.jpg", "d/x.jpg", "e/x-2.jpg")]
    places = [photo.inner for photo in with_own_places(find_photos(named)) if photo]
    assert len(set(places)) == 5
    assert places[:2] == [Path("x.jpg"), Path("x-2.jpg")]


@posix_only
def test_a_link_that_leads_nowhere_hides_no_other_photo(albums: Path) -> None:
    """One to itself, for which is_dir raises, is a photo that cannot be read."""
    (albums / "albums" / "2023" / "loop.jpg").symlink_to("loop.jpg")
    usual = ["albums/2023/.hidden.jpg", "albums/2023/a.PNG", "albums/2023/b.jpg"]
    assert _found("albums/2023") == [*usual, "albums/2023/loop.jpg"]
