"""`emodetect.audit`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emodetect.api.arguments import AnyPath, emotions_of_labels, texts
from emodetect.api.python_words import in_python_words

if TYPE_CHECKING:
    from emodetect.config import Faces
    from emodetect.reports.audit_report import AuditReport


@in_python_words
def audit(
    data: AnyPath | Sequence[AnyPath],
    *,
    model: AnyPath | None = None,
    unseen: bool = False,
    detector: AnyPath | None = None,
    faces: Faces | None = None,
    label_names: Mapping[str, str] | None = None,
    own_labels: bool = False,
    output: AnyPath | None = None,
    force: bool = False,
) -> AuditReport:
    """Find leaks, duplicates, wrong labels and bad images, as `emodetect data audit` does.

    Args:
        data: labelled images, as PATH or SOURCE:PATH; several are also compared with each other.
        model: also reports labels with which this model disagrees.
        unseen: the model was trained on none of these images.
        detector: "yunet", the path of its .onnx file, "haar" or "none". If None, yunet if it was
            fetched, else haar.
        faces: "whole" or "detect", as data.faces of the config for training.
        label_names: the emotions of labels by other names, such as {"3": "happy"}.
        own_labels: labels need not be emotions.
        output: the folder of the report; audit-NAME in the current folder if None.
        force: write into a folder that already contains files.

    Returns:
        The report, which shows its findings in a notebook.

    Raises:
        EmodetectError: if the data, the model, the detector or the folder cannot be used.

    Examples:
        >>> import emodetect
        >>> report = emodetect.audit("faces", detector="none")
        >>> report.images
        70
        >>> report.duplicates["groups"]
        0
        >>> report.files[0].name
        'audit.html'
    """
    from emodetect.auditing.audit import AuditOptions
    from emodetect.reports.audit_report import audit_to_folder

    sources = texts(data)
    options = AuditOptions(
        sources=sources,
        faces=() if faces is None else (faces,) * len(sources),
        detector=None if detector is None else os.fspath(detector),
        model=None if model is None else os.fspath(model),
        unseen=unseen,
        label_names=emotions_of_labels(label_names),
        own_labels=own_labels,
    )
    return audit_to_folder(options, None if output is None else Path(output), force=force)
