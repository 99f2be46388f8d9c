"""The settings with which videos were analysed, so that figures can be reproduced."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from emodetect import __version__
from emodetect.faces.tracking import TrackingOptions
from emodetect.recognition.recognizer import EmotionRecognizer

# What the page says about each.
MEANINGS = {
    "emodetect": "version",
    "model_sha256": "of the model file",
    "detector": "finds the faces in a frame",
    "uncertain_below": "a face whose highest probability is lower is uncertain; 0: none is",
    "tta": "test-time augmentation; flip: outputs are means for face and mirror image",
    "every": "analysed is every frame (1), every second (2), ...",
    "min_seconds": "faces visible for less time are left out",
    "tracking": "faces are followed from frame to frame, and scores and labels smoothed",
    "scan_interval_s": "longest time between searches of the whole frame for new faces",
    "scan_side": "longer side, in pixels, to which a frame is reduced for these searches",
    "keep_s": "how long a face that is no longer found stays where it was",
    "box_smoothing_s": "time constant of the moving average of a face's position",
    "score_smoothing_s": "time constant of the moving average of a face's probabilities",
    "hysteresis": "lead in probability that another emotion needs to become the label",
}


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
        "tta": recognizer.tta,
        "every": every,
        "min_seconds": min_seconds,
        "tracking": tracking is not None,
        **how,
    }
