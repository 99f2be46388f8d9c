"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check.

    Attributes:
        name: what was checked.
        status: "ok"; "absent" if only some commands need it; "broken" if emodetect needs it.
        detail: what was found, or what is wrong with it, in one line.
        fix: the command or step that fixes it; empty if there is nothing to do.
    """

    name: str
    status: Literal["ok", "absent", "broken"]
    detail: str
    fix: str = ""


def ok(name: str, detail: str) -> Finding:
    """Return the finding of a check that found everything in order."""
    return Finding(name=name, status="ok", detail=detail)


def absent(name: str, detail: str, fix: str) -> Finding:
    """Return the finding that something is missing which only some commands need."""
    return Finding(name=name, status="absent", detail=detail, fix=fix)


def broken(name: str, detail: str, fix: str) -> Finding:
    """Return the finding that something does not work which emodetect needs."""
    return Finding(name=name, status="broken", detail=detail, fix=fix)
