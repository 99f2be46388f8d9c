"""Give memory back to the system, which glibc would keep after large photos."""

from __future__ import annotations

import contextlib
import ctypes

# glibc's names for two of its settings, and the size in bytes from which memory goes back.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, GIVEN_BACK_BYTES = -1, -3, 2**20
# What calling glibc raises with another system's C library; Windows gives no library by that name.
NOT_GLIBC = (OSError, AttributeError, TypeError)


def give_memory_back() -> None:
    """Let glibc give large blocks back to the system when they are freed.

    By default it keeps blocks of up to 32 MB, and with several threads a heap for each.
    """
    with contextlib.suppress(*NOT_GLIBC):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, GIVEN_BACK_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, GIVEN_BACK_BYTES)


def trim_memory() -> None:
    """Let glibc give back all pages on which nothing is left."""
    with contextlib.suppress(*NOT_GLIBC):
        ctypes.CDLL(None).malloc_trim(0)
