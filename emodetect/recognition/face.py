"""A face with its emotion: what recognition returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from emodetect.faces.boxes import Box


@dataclass(frozen=True)
class Face:
    """A face in an image.

    Attributes:
        box: x, y, width, height in pixels.
        emotion: the most probable emotion, or "uncertain". In a video, the previous one is kept
            until another leads by more than a little; see `TrackingOptions.hysteresis`.
        confidence: probability of the emotion, or of what it would be if it were not "uncertain".
        scores: probability of each emotion, in the model's label order.
        id: identifies the face within a video, from 1; None in a still image.
    """

    box: Box
    emotion: str
    confidence: float
    scores: dict[str, float] = field(hash=False)
    id: int | None = None

    @property
    def guesses(self) -> list[tuple[str, float]]:
        """The two most probable emotions with their probabilities, the more probable one first."""
        return sorted(self.scores.items(), key=lambda guess: guess[1], reverse=True)[:2]
