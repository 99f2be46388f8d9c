"""Which files are photos, which only look like photos or videos, and which are certainly neither.

A photo is found by the suffix of its name, and decoded by its first bytes.
"""

from __future__ import annotations

import codecs
import os
import re
from collections import Counter
from pathlib import Path

READ_FORMATS = "JPEG, PNG, WebP, BMP, TIFF, HEIC, AVIF, GIF, JPEG 2000, PNM"
# What OpenCV encodes under these names; results are written in the format of their photo.
WRITTEN_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
IMAGE_SUFFIXES = (
    *WRITTEN_SUFFIXES,
    *(".jfif", ".jfi", ".jif", ".jpe", ".pjp", ".pjpeg", ".mpo", ".apng", ".dib"),
    *(".heic", ".heif", ".heics", ".heifs", ".hif", ".avif", ".avifs", ".gif"),
    *(".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc", ".pbm", ".pgm", ".pnm", ".ppm"),
)

VIDEO = "video, for `emodetect video`"
RAW = "camera raw"
OTHER_IMAGE = "unsupported image format"
DRAWING = "vector drawing"
OTHER_FILE = "other (neither a photo nor a video)"
SYSTEM_FILE = "system (such as .DS_Store)"
HIDDEN_FILE = "hidden (name begins with a dot)"
LINKED_FOLDER = "link to a folder (not followed)"

_SUFFIXES = {
    VIDEO: "3g2 3gp asf avi divx dv f4v flv insv m2ts m2v m4v mkv mov mp4 mpeg mpg mts mxf ogv rm "
    "rmvb vob webm wmv y4m",
    RAW: "3fr arw cr2 cr3 crw dcr dng erf fff gpr iiq k25 kdc mef mos mrw nef nrw orf pef raf raw "
    "rw2 rwl sr2 srf srw x3f",
    DRAWING: "ai emf eps svg svgz wmf",
    OTHER_IMAGE: "afphoto bpg cur dcm dds exr flif hdr icns ico jls jxl jxr kra mng pam pcx pfm "
    "psb psd qoi ras sgi tga wdp xbm xcf xpm",
}
_KIND_OF_SUFFIX = {
    f".{suffix}": kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()
}

# Lower case: what systems and programs put next to photos, and copies that no one took.
_JUNK = frozenset(
    [
        ".appledouble",
        ".ds_store",
        ".ipynb_checkpoints",
        "$recycle.bin",
        "__macosx",
        "@eadir",
        "desktop.ini",
        "ehthumbs.db",
        "lost+found",
        "system volume information",
        "thumbs.db",
    ]
)

HEAD_BYTES = 256
JPEG, PNG, WEBP, BMP, TIFF = "JPEG", "PNG", "WebP", "BMP", "TIFF"
HEIC, AVIF, GIF, JPEG2000, PNM = "HEIC", "AVIF", "GIF", "JPEG 2000", "PNM"
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}
_EITHER_BRANDS = {b"mif1", b"msf1", b"heif"}
_AUDIO_BRANDS = {b"M4A ", b"M4B ", b"M4P "}
_SIGNATURES = (
    (rb"\xff\xd8", JPEG),
    (rb"\x89PNG\r\n\x1a\n", PNG),
    (rb"RIFF....WEBP", WEBP),
    # With the size of its second header: any text may begin with BM.
    (rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", BMP),
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", TIFF),
    (rb"GIF8[79]a", GIF),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51\0", JPEG2000),
    (rb"P[1-6]\s+[0-9#]", PNM),
)
_UNREAD_SIGNATURES = (
    (rb"RIFF....AVI |\x1aE\xdf\xa3|FLV\x01|\0\0\x01[\xba\xb3]|G.{187}G", VIDEO),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", VIDEO),
    (rb"....ftypcrx |FUJIFILMCCD-RAW|II(?:RO|RS|U\0)|FOVb", RAW),
    (rb"8BPS|\xff\x0a|\0\0\0\x0cJXL |gimp xcf |\x76\x2f\x31\x01", OTHER_IMAGE),
    (rb"DDS |qoif|.{128}DICM", OTHER_IMAGE),
    (rb"\s*(?:<\?xml.*)?<svg|%!PS-Adobe-[0-9.]+ EPSF", DRAWING),
)

# What is given as a table or a folder by mistake, and what to do; spreadsheets are zip files too.
_NO_TABLES = (
    (
        rb"PK\x03\x04.{26}(?:\[Content_Types\]|_rels/|docProps/|xl/)",
        "an Excel workbook; save it as CSV",
    ),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook; save it as CSV"),
    (rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis", "an OpenDocument file; save it as CSV"),
    (rb"PK(?:\x03\x04|\x05\x06)", "a zip archive; unpack it and give the folder"),
    (rb"\x1f\x8b", "a gzip archive; unpack it and give what is in it"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it and give the folder"),
    (rb"Rar!\x1a\x07", "a rar archive; unpack it and give the folder"),
    (rb"BZh[1-9]|\xfd7zXZ\0", "a compressed file; unpack it and give what is in it"),
    (rb".{257}ustar", "a tar archive; unpack it and give the folder"),
)


def has_image_suffix(path: Path) -> bool:
    """Return whether a file has the suffix of a supported image format."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_junk(name: str) -> bool:
    """Return whether a file or folder of this name certainly holds no photo of the user's.

    Such as the "._photo.jpg" and "__MACOSX" in zip files from a Mac, or "Thumbs.db".
    """
    return name.startswith("._") or name.lower() in _JUNK


def image_format(head: bytes) -> str | None:
    """Return the supported format that a file has by its first HEAD_BYTES bytes; else None."""
    brands = _brands(head)
    if brands and brands[0] in _HEIC_BRANDS | _AVIF_BRANDS | _EITHER_BRANDS:
        telling = [brand for brand in brands if brand in _HEIC_BRANDS | _AVIF_BRANDS]
        return AVIF if telling and telling[0] in _AVIF_BRANDS else HEIC
    return _matching(head, _SIGNATURES)


def unread_kind(head: bytes) -> str | None:
    """Return which kind of video or unsupported image a file is by its first bytes; else None."""
    if kind := _matching(head, _UNREAD_SIGNATURES):
        return kind
    brands = _brands(head)
    return VIDEO if brands and brands[0] not in _AUDIO_BRANDS else None


def archive_or_workbook(head: bytes) -> str | None:
    """Say which archive or workbook a file is by its first bytes, and what to do; else None."""
    return _matching(head, _NO_TABLES)


def is_photo(path: Path) -> bool:
    """Return whether a file is a photo by its first bytes or, if it is no known file, its name."""
    head = _head(path)
    return image_format(head) is not None or (unread_kind(head) is None and has_image_suffix(path))


def is_video(path: Path) -> bool:
    """Return whether a file begins like a video."""
    return unread_kind(_head(path)) == VIDEO


def has_video_suffix(path: Path) -> bool:
    """Return whether a file is named like a video."""
    return _KIND_OF_SUFFIX.get(path.suffix.lower()) == VIDEO


def why_not_read(path: Path) -> str:
    """Say what a file is that has no image suffix, such as ".cr2 (camera raw)".

    It is judged by its suffix, else by its first bytes. The texts are few, for counting files.
    """
    if is_junk(path.name):
        return SYSTEM_FILE
    suffix = path.suffix.lower()
    if kind := _KIND_OF_SUFFIX.get(suffix):
        return f"{suffix} ({kind})"
    head = _head(path)
    if form := image_format(head):
        return f"{form} without its suffix (rename it, or name the file itself)"
    kind = unread_kind(head)
    return OTHER_FILE if kind is None else f"file without its suffix ({kind})"


def why_no_table(path: Path) -> str | None:
    """Say what a file is instead of a table, and what to do, by its first bytes; None for text."""
    head = _head(path, 2 * HEAD_BYTES)
    if _is_text(head):
        return None
    if what := archive_or_workbook(head):
        return what
    if image_format(head):
        return "a photo; give the folder of class folders"
    if unread_kind(head) == VIDEO:
        return "a video; give a folder of class folders, or use `emodetect video`"
    return None


def count_in_words(kinds: Counter[str]) -> str:
    """Return counted kinds as "2 .cr2 (camera raw), 1 .mp4 (video, for `emodetect video`)"."""
    most_first = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {kind}" for kind, count in most_first)


def _head(path: Path, size: int = HEAD_BYTES) -> bytes:
    try:
        if not os.path.isfile(path):  # reading a pipe might never end
            return b""
        with path.open("rb") as file:
            return file.read(size)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return b""


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # its last character may be cut
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def _brands(head: bytes) -> list[bytes]:
    """Return the brands of an ISO media file (HEIC, AVIF, MP4), the major one first."""
    if head[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]


def _matching(head: bytes, signatures: tuple[tuple[bytes, str], ...]) -> str | None:
    return next((kind for mark, kind in signatures if re.match(mark, head, re.DOTALL)), None)
