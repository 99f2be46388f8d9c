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
        mend: the command or step that fixes it; empty if there is nothing to do.
    """

    name: str
    status: Literal["ok", "absent", "broken"]
    detail: str
    mend: str = ""
