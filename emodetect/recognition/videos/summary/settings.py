"""The settings with which videos were analysed, so that figures can be reproduced."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from emodetect import __version__
from emodetect.faces.tracking import TrackingOptions
from emodetect.recognition.recognizer import EmotionRecognizer


def analysis_settings(
    recognizer: EmotionRecognizer,
    tracking: TrackingOptions | None,
    *,
    every: int,
    min_seconds: float,
) -> dict[str, Any]:
    """Return the settings of an analysis as plain, JSON-ready values.

    The keys are the names of the options; those of tracking are None without it.
    """
    names = asdict(TrackingOptions())
    how = names.fromkeys(names) if tracking is None else asdict(tracking)
    return {
        "emodetect": __version__,
        "model": recognizer.metadata.name,
        "model_sha256": hashlib.sha256(recognizer.path.read_bytes()).hexdigest(),
        "detector": recognizer.detector_name,
        "uncertain_below": recognizer.uncertain_below,
        "every": every,
        "min_seconds": min_seconds,
        "tracking": tracking is not None,
        **how,
    }
