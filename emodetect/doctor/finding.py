"""What a check of this machine says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        name: what was looked at.
        status: "ok"; "absent" for what only some commands need; "broken" for what must work.
        detail: what is there, or what is wrong with it, in one line.
        mend: the command or the step that mends it; empty where there is nothing to do.
    """

    name: str
    status: Literal["ok", "absent", "broken"]
    detail: str
    mend: str = ""
