"""An audit in one call: check the images, write the report folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emodetect.audit.audit import AuditOptions, audit_sources
from emodetect.reports.audit_page import check_audit_folder, write_audit


def audit_to_folder(options: AuditOptions, out: Path, *, force: bool = False) -> dict[str, Any]:
    """Audit labelled images, and write audit.html, audit.json and manifest.csv to a folder.

    Args:
        force: write to a folder that holds files; those of an earlier audit are replaced.

    Returns:
        All figures, as in audit.json.

    Raises:
        DataError: for a source that is missing, empty or has unknown labels.
        EmodetectError: for a folder that must not be written to, and as `audit_sources`.
    """
    check_audit_folder(out, options.sources, force=force)  # before the work
    return write_audit(audit_sources(options), out, force=force)
