"""The report of an audit: a page with pictures, a manifest of every image, all figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from emodetect.auditing.audit import Audit, AuditOptions, audit_sources
from emodetect.auditing.findings import manifest_rows, summary
from emodetect.data.cleaning import write_audit_rows
from emodetect.data.named_data import NamedData
from emodetect.errors import EmodetectError
from emodetect.machine.atomic_files import atomic_write
from emodetect.machine.output_folder import (
    check_output_folder,
    check_outside,
    make_output_folder,
    writing,
)
from emodetect.notebook import heading, lines, table
from emodetect.reports.audit_sections import found_sections
from emodetect.reports.html import page_colors, render_page

PAGE, MANIFEST, FIGURES = "audit.html", "manifest.csv", "audit.json"

NAMED_AT_MOST = 50


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """What an audit found, and the files of its report; a notebook shows the findings.

    Attributes:
        figures: the content of audit.json.
        files: audit.html, manifest.csv and audit.json.
    """

    figures: dict[str, Any] = field(repr=False)
    files: list[Path]

    @property
    def images(self) -> int:
        """The number of images."""
        return int(self.figures["images"])

    @property
    def leaks(self) -> dict[str, int]:
        """Images of a split that are in another one, such as "test_in_train"."""
        return dict(self.figures["leaks"])

    @property
    def duplicates(self) -> dict[str, int]:
        """Groups and images that are identical, or near-identical ("with_near")."""
        return dict(self.figures["duplicates"])

    @property
    def conflicts(self) -> dict[str, int]:
        """Groups and images that are identical, or near-identical, with different labels."""
        return dict(self.figures["conflicts"])

    @property
    def quality(self) -> dict[str, int]:
        """Images that are tiny, blank, dark, bright or blurred."""
        return dict(self.figures["quality"])

    @property
    def findings(self) -> dict[str, int]:
        """The number of images or groups of each kind of finding, by its name in words."""
        return findings(self.figures)

    def _repr_html_(self) -> str:
        rows = [(name, f"{count:,}") for name, count in self.findings.items()]
        title = f"Audit of {', '.join(self.figures['sources'])}"
        return heading(title) + table(("", ""), rows) + lines([f"report: {self.files[0]}"])


def findings(figures: dict[str, Any]) -> dict[str, int]:
    """Return the number of images or groups of each kind of finding, by its name in words.

    Args:
        figures: see `auditing.findings.summary`.
    """
    leaks, duplicates, conflicts = (figures[key] for key in ("leaks", "duplicates", "conflicts"))
    rows = {
        "images": figures["images"],
        "unreadable images": figures["unreadable"]["images"],
        "test images in train, identical": leaks["test_in_train"],
        "test images in train, near-identical": leaks["near_test_in_train"],
        "val images in train, identical": leaks["val_in_train"],
        "val images in train, near-identical": leaks["near_val_in_train"],
        "test images in val, identical": leaks["test_in_val"],
        "test images in val, near-identical": leaks["near_test_in_val"],
        "groups of identical images": duplicates["groups"],
        "groups of identical or near-identical images": duplicates["groups_with_near"],
        "groups of identical images with different labels": conflicts["groups"],
        "groups of identical or near-identical images with different labels": conflicts[
            "groups_with_near"
        ],
        **{f"{fault} images": count for fault, count in figures["quality"].items()},
    }
    if len(figures["sources"]) > 1:
        rows["images that also appear in another source"] = figures["across_sources"][
            "identical_or_near"
        ]
    if detector := figures["no_face"]["detector"]:
        weak = ", weak check" if figures["no_face"]["weak"] else ""
        rows[f"no face found ({detector}{weak})"] = figures["no_face"]["images"]
    if "votes" in figures:
        rows["labels the voters disagree with"] = figures["votes"]["contradict"]
        rows["no face according to the voters"] = figures["votes"]["no_face"]
    if "model" in figures:
        disagrees = "labels the model disagrees with"
        rows[f"{disagrees}, unseen images"] = figures["model"]["doubtful_unseen"]
        rows[f"{disagrees}, possibly seen images"] = figures["model"]["doubtful_maybe_seen"]
    return rows


def audit_to_folder(
    options: AuditOptions, out: Path | None = None, *, force: bool = False
) -> AuditReport:
    """Audit labelled images, and write audit.html, audit.json and manifest.csv to a folder.

    Args:
        out: the folder; audit-NAME in the current folder, after the first source, if None.
        force: write to a folder that holds files; those of an earlier audit are replaced.

    Raises:
        DataError: for a source that is missing, empty or has unknown labels.
        EmodetectError: for a folder that must not be written to, and as `audit_sources`.
    """
    out = out or _default_folder(options.named[0])
    check_audit_folder(out, options.named, force=force)  # before the work
    figures = write_audit(audit_sources(options), out, force=force)
    return AuditReport(figures=figures, files=[out / name for name in (PAGE, MANIFEST, FIGURES)])


def _default_folder(source: NamedData) -> Path:
    if not source.path:
        return Path("audit-synthetic")
    path = Path(source.path).resolve()
    return Path(f"audit-{path.name if path.is_dir() else path.stem}")


def check_audit_folder(out: Path, sources: Sequence[NamedData], *, force: bool) -> None:
    """Raise EmodetectError if an audit cannot be written to a folder.

    The folder may contain files only with `force`, and a manifest.csv only if an audit wrote it.
    It must not be inside a source, where it would be taken for one of its folders.
    """
    for source in sources:
        check_outside(out, Path(source.path) if source.path else None)
    check_output_folder(out, force=force)
    if (out / MANIFEST).exists() and not (out / FIGURES).is_file():
        raise EmodetectError(
            f"{out}: contains a {MANIFEST} that was not created by an audit ({FIGURES} is "
            "missing), which --force does not replace; choose another folder."
        )


def write_audit(audit: Audit, out: Path, *, force: bool = False) -> dict[str, Any]:
    """Write audit.html, manifest.csv and audit.json to a folder; return the figures.

    All files are put in place at the end, so an interrupted audit leaves an earlier one as it was.

    Raises EmodetectError as `check_audit_folder` does.
    """
    check_audit_folder(out, audit.sources, force=force)
    make_output_folder(out)
    figures = summary(audit)
    html = render_page(
        "audit.html",
        title=f"Audit of {', '.join(figures['sources'])}",
        audit=audit,
        figures=figures,
        sections=found_sections(audit),
        unreadable=list(figures["unreadable"]["first"].items())[:NAMED_AT_MOST],
        config_lines=_config_lines(audit, out),
        colors=page_colors(audit.emotions),
    )
    # The one opened last is the first in place: audit.json, which says whose the manifest is.
    with (
        writing(out),
        atomic_write(out / MANIFEST) as manifest,
        atomic_write(out / PAGE) as page,
        atomic_write(out / FIGURES) as figures_file,
    ):
        write_audit_rows(manifest, manifest_rows(audit))
        # File names that are not UTF-8 contain lone surrogates.
        page.write_text(html, encoding="utf-8", errors="backslashreplace")
        figures_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
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
