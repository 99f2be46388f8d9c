"""The report of an audit: a page with pictures, a manifest of every image, all figures as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from emodetect.auditing.audit import Audit, AuditOptions, audit_sources
from emodetect.auditing.findings import manifest_rows, summary
from emodetect.data.cleaning import write_audit_rows
from emodetect.data.named_data import find_data
from emodetect.emotions import hex_colors
from emodetect.errors import EmodetectError
from emodetect.machine.atomic_files import atomic_write, write_text
from emodetect.machine.output_folder import check_output_folder, make_output_folder
from emodetect.reports.audit_sections import found_sections
from emodetect.reports.html import write_page

PAGE, MANIFEST, FIGURES = "audit.html", "manifest.csv", "audit.json"

NAMED_AT_MOST = 50


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


def check_audit_folder(out: Path, sources: Sequence[str], *, force: bool) -> None:
    """Raise EmodetectError if an audit cannot be written to a folder.

    The folder may contain files only with `force`, and a manifest.csv only if an audit wrote it.
    It must not be inside a source, where it would be taken for one of its folders.
    """
    for source in sources:
        place = find_data(source, option="data audit").path
        if place and Path(os.path.realpath(out)).is_relative_to(os.path.realpath(place)):
            raise EmodetectError(
                f"{out}: is inside {source}, which is being audited; choose another folder with "
                "--output."
            )
    check_output_folder(out, force=force)
    if (out / MANIFEST).exists() and not (out / FIGURES).is_file():
        raise EmodetectError(
            f"{out}: contains a {MANIFEST} that was not created by an audit ({FIGURES} is "
            "missing), which --force does not replace; choose another folder."
        )


def write_audit(audit: Audit, out: Path, *, force: bool = False) -> dict[str, Any]:
    """Write audit.html, manifest.csv and audit.json to a folder; return the figures.

    Each file is written completely or not at all, audit.json last.

    Raises EmodetectError as `check_audit_folder` does.
    """
    check_audit_folder(out, audit.sources, force=force)
    make_output_folder(out)
    try:
        for name in (FIGURES, MANIFEST, PAGE):
            (out / name).unlink(missing_ok=True)
        figures = summary(audit)
        with atomic_write(out / MANIFEST) as partial:
            write_audit_rows(partial, manifest_rows(audit))
        write_page(
            "audit.html",
            out / PAGE,
            title=f"Audit of {', '.join(audit.sources)}",
            audit=audit,
            figures=figures,
            sections=found_sections(audit),
            unreadable=list(figures["unreadable"]["first"].items())[:NAMED_AT_MOST],
            config_lines=_config_lines(audit, out),
            colors=hex_colors(audit.emotions),
        )
        write_text(out / FIGURES, json.dumps(figures, indent=1) + "\n")
    except OSError as error:
        raise EmodetectError(f"{out}: cannot be written: {error.strerror}.") from None
    return figures


def _config_lines(audit: Audit, out: Path) -> list[str]:
    first = audit.configs[0].model_dump(mode="json", exclude_unset=True)
    return [
        *tomli_w.dumps({"data": {**first, "manifest": (out / MANIFEST).as_posix()}}).splitlines(),
        "",
        "[data.cleaning]",
        "drop_leaks = true",
        "drop_conflicts = true",
        "keep_one_of_duplicates = true",
        "# false: only pixel-identical images count",
        "near = true",
        '# for example ["blank", "no_face"]',
        "drop_flags = []",
    ]
