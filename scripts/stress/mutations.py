"""Break files and texts at random, as disks, networks, editors and attackers do."""

from __future__ import annotations

import random
from collections.abc import Sequence

# Bytes that stand for large, negative and odd numbers in any format.
EXTREMES = (
    *(b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"),
    *(b"\x80\0\0\0", b"\0\0\0\x80", b"\0\0\x40\0", b"\x01\0\0\0", b"\0\0\0\x01"),
)
WORDS = (
    *("\0", "\n", ",", ";", "\t", '"', "'", "[", "]", "=", "-1", "0", "1e999", "nan", "9" * 400),
    *("é", "\ud83d\ude00", "..", "/", "/etc/passwd", "null", "true", "x" * 2000, "\ufeff", "#"),
)


def mutated_bytes(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Return a file with one to four faults, more of them near its beginning than elsewhere.

    Args:
        others: files of which a part may be put into this one.
    """
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        near = rng.random() < 0.6
        at = rng.randrange(min(len(result), 400 if near else len(result)) or 1)
        kind = rng.randrange(8)
        if kind == 0:
            result[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1 and at < len(result):
            result[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            extreme = rng.choice(EXTREMES)
            result[at : at + 4] = extreme
        elif kind == 3:
            del result[at : at + rng.randint(1, 64)]
        elif kind == 4:
            result[at:at] = rng.randbytes(rng.randint(1, 64))
        elif kind == 5:
            result[at:at] = result[at : at + rng.randint(1, 512)]
        elif kind == 6:
            del result[rng.randrange(len(result) or 1) :]
        else:
            other = rng.choice(others)
            begin = rng.randrange(len(other))
            result[at:at] = other[begin : begin + rng.randint(1, 2000)]
    return bytes(result)


def mutated_text(text: str, rng: random.Random) -> str:
    """Return a text with one to four faults: in letters, words and lines."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) or 1)
        kind = rng.randrange(6)
        if kind == 0:
            text = text[:at] + rng.choice(WORDS) + text[at:]
        elif kind == 1:
            text = text[:at] + rng.choice(WORDS) + text[at + rng.randint(1, 8) :]
        elif kind == 2:
            text = text[:at] + text[at + rng.randint(1, 40) :]
        elif kind == 3:
            text = text[:at]
        else:
            lines = text.splitlines(keepends=True) or [""]
            one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
            if kind == 4:
                lines.insert(one, lines[other])
            else:
                lines[one], lines[other] = lines[other], lines[one]
            text = "".join(lines)
    return text
