"""What the table of a HEIC file says of its items, read without a decoder."""

from __future__ import annotations

from collections.abc import Iterator

_LARGE, _TO_THE_END = 1, 0  # sizes of a box that stand for another place or value
_FULL_BOX = 4  # bytes of version and flags before the content of some boxes


def names_types_in_text(data: bytes) -> bool:
    """Return whether the types of all items of a HEIC file are text in UTF-8.

    For others, pi-heif 1.4 crashes, and with it the process. The layout is that of ISO/IEC
    14496-12: a box `meta`, in it `iinf`, in it an `infe` for each item.
    """
    for start, end in _boxes(data, 0, len(data), b"meta"):
        for table, table_end in _boxes(data, start + _FULL_BOX, end, b"iinf"):
            count_bytes = 2 if data[table : table + 1] == b"\0" else 4
            first = table + _FULL_BOX + count_bytes
            for entry, entry_end in _boxes(data, first, table_end, b"infe"):
                if not _is_text(data[entry:entry_end]):
                    return False
    return True


def _is_text(entry: bytes) -> bool:
    """Return whether the type and the content type of an entry are; its name may be anything."""
    version = entry[0] if entry else 0
    kind_at = _FULL_BOX + (6 if version == 3 else 4)  # after its number and protection
    kind_bytes = 4 if version >= 2 else 0  # earlier versions have none
    kind, strings = entry[kind_at:][:kind_bytes], entry[kind_at + kind_bytes :].split(b"\0")
    try:
        for text in (kind, *strings[1:]):
            text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _boxes(data: bytes, start: int, end: int, name: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the content of each box of a name begins and ends."""
    while start + 8 <= end:
        size, header = int.from_bytes(data[start : start + 4], "big"), 8
        if size == _LARGE:
            size, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif size == _TO_THE_END:
            size = end - start
        if size < header:
            return
        if data[start + 4 : start + 8] == name:
            yield start + header, min(end, start + size)
        start += size
