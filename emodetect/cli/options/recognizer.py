"""The options that choose a recogniser: its model, runtime and face detector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import click

from emodetect.cli.options.model import (
    model_options,
    runtime_option,
    tta_option,
    usable_model,
)
from emodetect.cli.options.numbers import Probability

if TYPE_CHECKING:
    from emodetect.recognition.recognizer import EmotionRecognizer
    from emodetect.recognition.runtimes.mirrored import Tta

detector_option = click.option(
    "--detector",
    default="haar",
    show_default=True,
    metavar="NAME|FILE",
    help="Face detector: haar; haar_exhaustive, which takes twice as long and finds a few more "
    "unclear faces; yunet, which also finds small and turned faces (run `emodetect "
    "models fetch yunet` first, or give the path of its .onnx file); or none, which treats each "
    "image as one face.",
)

uncertain_option = click.option(
    "--uncertain-below",
    type=Probability(),
    default=0.0,
    metavar="0..1",
    help="Label a face uncertain, with its two best guesses, if its highest probability is lower.",
)


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
