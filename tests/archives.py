"""Archives that are damaged in ways of their own."""

from __future__ import annotations

from pathlib import Path


def encrypt(archive: Path) -> None:
    """Mark the members of an archive as encrypted, which zipfile tells by a RuntimeError."""
    content = bytearray(archive.read_bytes())
    for signature, flags in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        start = 0
        while (start := content.find(signature, start)) >= 0:
            content[start + flags] |= 1
            start += 4
    archive.write_bytes(content)
