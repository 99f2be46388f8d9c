"""Photos at URLs: objects in S3 and Google Cloud Storage (pyarrow.fs), and on web servers (fsspec).

Settings and credentials are those of the libraries, from the environment: AWS_ACCESS_KEY_ID,
AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS, or the machine's role.
"""

from __future__ import annotations

import re
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from emodetect.errors import EmodetectError, ImageError, first_line
from emodetect.images.formats import has_image_suffix, is_junk, why_not_read
from emodetect.recognition.photos.file_search import matches

# The stores, and where their libraries find credentials.
STORES = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`",
}
SCHEMES = (*STORES, "http", "https")
SECONDS_BEFORE_RETRIES = (1, 4)
HTTP_TIMEOUT_S = 60
GS_RETRY_S = 20
# Of the libraries' own, which may fill a screen.
MESSAGE_LETTERS = 300
# Counted among what is not read.
NAMELESS = "below a folder without a name (such as photos//)"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def is_url(name: str) -> bool:
    """Return whether a name is a URL, of any scheme."""
    return _URL.match(name) is not None


def photos_at(url: str, not_read: Counter[str], *, patterns: bool) -> Iterator[str]:
    """Yield the URLs of the photos at a URL: itself, or what is below it, sorted.

    What ends in the suffix of an image is a photo; anything else is a folder (a prefix), or, with
    `*`, `?` or `[` in it, a pattern as for files. A folder without photos is yielded itself, so
    that it ends as an error. Memory use depends on the largest folder only; in Google's store, on
    the whole URL. On a web server, a URL that ends with a slash is a page of links, and any other
    is a photo.

    Args:
        not_read: gets the number of other files in the folders, by kind.
        patterns: whether the URL may be a pattern.

    Raises:
        EmodetectError: if the scheme is unknown, or the bucket or the folder cannot be listed.
    """
    scheme = scheme_of(url)
    if scheme not in STORES:
        yield from _linked_photos(url, not_read) if url.endswith("/") else (url,)
        return
    store, path = _store(url), _path(url)
    names = path.strip("/").split("/")
    wild = [number for number, name in enumerate(names) if set(name) & set("*?[")]
    if not (wild and patterns) and has_image_suffix(Path(path)):
        yield url
        return
    at = wild[0] if wild and patterns else len(names)
    empty = True
    for found in _objects_below(url, store, "/".join(names[:at])):
        below = found.removesuffix("/").split("/")[at:]
        if found.endswith("//"):
            # Counted where the pattern, as far as it goes, could match.
            if all(map(fnmatch, below, names[at:])):
                not_read[NAMELESS] += 1
            continue
        if at < len(names) and not any(
            matches(below[:depth], tuple(names[at:])) for depth in range(1, len(below) + 1)
        ):
            continue
        if any(map(is_junk, below)) or not has_image_suffix(Path(found)):
            not_read[why_not_read(Path(found))] += 1
            continue
        empty = False
        yield f"{scheme}://{found}"
    if empty:
        yield url


def read_url(url: str) -> bytes:
    """Return the bytes at a URL; what fails is tried again after some seconds.

    Raises ImageError, whose message does not contain the URL, if it cannot be read.
    """
    for seconds in (*SECONDS_BEFORE_RETRIES, None):
        try:
            if scheme_of(url) not in STORES:
                return bytes(_web().cat_file(url))
            with _store(url).open_input_stream(_path(url)) as stream:
                return bytes(stream.read())
        except EmodetectError as error:
            raise ImageError(str(error)) from None
        except FileNotFoundError:
            raise ImageError("no such file at this URL") from None
        except Exception as error:  # of several libraries
            if seconds is None:
                raise ImageError(f"cannot be read: {first_line(error)}") from None
            time.sleep(seconds)
    raise AssertionError  # the last try returns or raises


def scheme_of(url: str) -> str:
    """Return the scheme of a URL. Raises EmodetectError if it is not one of SCHEMES."""
    found = _URL.match(url)
    scheme = found[1].lower() if found else ""
    if scheme not in SCHEMES:
        raise EmodetectError(
            f"{url}: expected a URL that begins with {', '.join(f'{one}://' for one in SCHEMES)}."
        )
    return scheme


def _path(url: str) -> str:
    """Return BUCKET/KEY, with nothing decoded: a key may hold any character."""
    return url.partition("://")[2]


def _store(url: str) -> Any:
    bucket = _path(url).partition("/")[0]
    if not bucket:
        raise EmodetectError(f"{url}: expected the name of a bucket after ://.")
    return _open_store(scheme_of(url), bucket)


@cache
def _open_store(scheme: str, bucket: str) -> Any:
    from pyarrow import fs

    try:
        # Finds the region of a bucket in S3. Google's client would try for 15 minutes.
        settings = f"?retry_limit_seconds={GS_RETRY_S}" if scheme == "gs" else ""
        store, _ = fs.FileSystem.from_uri(f"{scheme}://{bucket}{settings}")
        there = store.get_file_info(bucket).type != fs.FileType.NotFound
    except (OSError, ValueError) as error:
        raise _unlistable(f"{scheme}://{bucket}", error) from None
    if not there:
        raise EmodetectError(
            f"{scheme}://{bucket}: no such bucket; check its name, and the endpoint if it is not "
            "at Amazon or Google (AWS_ENDPOINT_URL)."
        )
    return store


def _objects_below(url: str, store: Any, folder: str) -> Iterator[str]:
    """Yield BUCKET/KEY of each object below a folder, folder by folder, sorted.

    For objects below an empty name, which pyarrow can neither list nor read, it yields their
    folder, with two slashes at its end.
    """
    from pyarrow import fs

    # Of Google's folders, pyarrow lists only those that are objects themselves.
    whole = scheme_of(url) == "gs"
    try:
        selector = fs.FileSelector(folder, allow_not_found=True, recursive=whole)
        found = store.get_file_info(selector)
    except (OSError, ValueError) as error:
        raise _unlistable(url, error) from None
    entries = sorted((entry.path, entry.type == fs.FileType.Directory) for entry in found)
    del found
    for path, is_folder in entries:
        if path.strip("/") == folder.strip("/"):  # as pyarrow gives `photos//a.jpg`
            yield f"{path.rstrip('/')}//"
        elif not is_folder:
            yield path
        elif not whole:
            yield from _objects_below(url, store, path)


def _linked_photos(url: str, not_read: Counter[str]) -> Iterator[str]:
    try:
        links = sorted(_web().ls(url, detail=False))
    except Exception as error:  # of several libraries
        raise EmodetectError(f"{url}: cannot be listed: {first_line(error)}.") from None
    empty = True
    for link in links:
        if has_image_suffix(Path(link)):
            empty = False
            yield link
        elif link.startswith(url) and not link.endswith("/"):
            not_read[why_not_read(Path(link))] += 1
    if empty:
        yield url


@cache
def _web() -> Any:
    import aiohttp
    import fsspec

    timeout = aiohttp.ClientTimeout(total=HTTP_TIMEOUT_S)
    return fsspec.filesystem("http", client_kwargs={"timeout": timeout})


def _unlistable(url: str, error: Exception) -> EmodetectError:
    why = textwrap.shorten(first_line(error), MESSAGE_LETTERS, placeholder=" ...")
    return EmodetectError(
        f"{url}: cannot be listed: {why}; check the name and the credentials "
        f"({STORES[scheme_of(url)]}, or the machine's role)."
    )
