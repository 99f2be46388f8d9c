"""Measure how much faster photos would be analysed with YuNet, where its model is installed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from copy import copy

from emodetect.errors import ImageError
from emodetect.faces.detectors.registry import installed_detectors, open_detector
from emodetect.images.reading import read_image
from emodetect.recognition.recognizer import EmotionRecognizer

# Shorter runs do not make people look for a faster way.
LONG_RUN_S = 30.0
# So many photos tell, and take less than a second.
SAMPLE = 12


def yunet_speedup(recognizer: EmotionRecognizer, paths: Iterable[str]) -> float | None:
    """Return how many times as fast YuNet analyses photos, by processor time.

    None if the recogniser does not use Haar, YuNet's model is not installed, or no photo can be
    read.

    Args:
        paths: some of the photos of a run.
    """
    if not recognizer.detector_name.startswith("haar") or "yunet" not in installed_detectors():
        return None
    other = copy(recognizer)
    other.detector = open_detector("yunet")
    seconds = {id(recognizer): 0.0, id(other): 0.0}
    for number, path in enumerate(paths):
        for one in (recognizer, other):
            started = time.process_time()
            try:
                one.analyze(read_image(path))
            except (ImageError, OSError):
                break
            if number > 0:  # the first warms up
                seconds[id(one)] += time.process_time() - started
    return seconds[id(recognizer)] / seconds[id(other)] if seconds[id(other)] > 0 else None
