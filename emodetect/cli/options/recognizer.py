"""The options that choose a recogniser: its model, runtime and face detector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from emodetect.cli.options.model import (
    model_options,
    runtime_option,
    tta_option,
    usable_model,
)
from emodetect.cli.options.numbers import uncertain_option
from emodetect.cli.options.tracking import detector_option

if TYPE_CHECKING:
    from emodetect.recognition.recognizer import EmotionRecognizer
    from emodetect.recognition.runtimes.mirrored import Tta


@dataclass(frozen=True)
class RecognizerChoice:
    """What the user said about the recogniser."""

    model: str | None
    labels: str | None
    pixels: str | None
    runtime: str | None
    detector: str
    uncertain_below: float
    tta: Tta | None

    def open(self) -> EmotionRecognizer:
        """Open the recogniser. A foreign Keras file is compiled first, once."""
        return self.opener()()

    def opener(self) -> Callable[..., EmotionRecognizer]:
        """Return a function that opens the recogniser and can be pickled for other processes."""
        from emodetect.recognition.recognizer import EmotionRecognizer

        return partial(
            EmotionRecognizer,
            usable_model(self.model, self.labels, self.pixels),
            detector=self.detector,
            runtime=self.runtime,
            uncertain_below=self.uncertain_below,
            tta=self.tta,
        )


def recognizer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --model, --runtime, --detector, ...; the command gets them as `recognizer`."""

    @model_options
    @runtime_option
    @detector_option
    @uncertain_option
    @tta_option
    @wraps(command)
    def with_recognizer(
        *,
        model: str | None,
        labels: str | None,
        pixels: str | None,
        runtime: str | None,
        detector: str,
        uncertain_below: float,
        tta: Tta | None,
        **others: Any,
    ) -> Any:
        choice = RecognizerChoice(model, labels, pixels, runtime, detector, uncertain_below, tta)
        return command(recognizer=choice, **others)

    return with_recognizer
