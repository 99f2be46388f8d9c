"""What is done with each frame of a video: its faces and their emotions."""

from __future__ import annotations

from emodetect.faces.tracking import TrackingOptions
from emodetect.recognition.recognizer import EmotionRecognizer, EmotionTracker
from emodetect.recognition.videos.frame_queue import Analyze

# Without a new frame for so long, the window is redrawn, so that keys still work.
HEARTBEAT_S = 0.2


def frame_analysis(
    recognizer: EmotionRecognizer, tracking: TrackingOptions | None, *, first_id: int = 1
) -> Analyze:
    """Return what names the emotions of one frame after the other; None: each for itself."""
    if tracking is None:
        return lambda frame: recognizer.analyze(frame.image)
    tracker = EmotionTracker(recognizer, tracking, first_id=first_id)
    return lambda frame: tracker.update(frame.image, frame.time_s)
