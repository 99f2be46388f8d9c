"""Grad-CAM (Selvaraju et al. 2017): heat maps of the regions that support a prediction.

The gradients come from the Keras model inside the artifact, so this loads TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emodetect.errors import EmodetectError, ModelError, first_line
from emodetect.evaluation.predictions import ImagePredictions
from emodetect.images.model_input import to_input
from emodetect.model_file.artifact import read_artifact
from emodetect.recognition.face import Face
from emodetect.recognition.overlay import draw_scores
from emodetect.recognition.runtimes.keras import KerasRuntime
from emodetect.recognition.runtimes.runtime import MAX_BATCH, PIP_LINES

# Of the pictures that --explain writes, in pixels.
SIDE = 288
SCORES_WIDTH = 400
# The last feature map of MobileNetV2 at 96 pixels has 3 x 3 cells, and each sees the whole face: it
# does not predict where a grey patch costs most confidence (correlation -0.01 over 64 faces of
# FER2013); the last map of 6 x 6 cells does to some extent (0.21).
FEWEST_CELLS = 4
SMALLEST = 1e-12  # keeps the logarithm of a probability finite


@dataclass(frozen=True)
class HeatMaps:
    """Grad-CAM of some images.

    Attributes:
        maps: (n, size, size) float32, see `GradCam.explain`.
        cells: height and width of the feature map behind them.
    """

    maps: np.ndarray
    cells: tuple[int, int]


class GradCam:
    """Computes heat maps for the predictions of an artifact.

    A heat map is a late feature map of the network with each channel weighted by the mean gradient
    of the emotion's score; negative values are cut off. It shows which regions of the face support
    the emotion, at the resolution of the feature map.

    Attributes:
        cells: height and width of the feature map: the last one of at least 4 x 4 cells.

    Raises:
        EmodetectError: if TensorFlow cannot be imported.
        ModelError: if the artifact cannot be used, or the network has no convolutions.
    """

    def __init__(self, model: Path) -> None:
        artifact = read_artifact(model)
        self.metadata = artifact.metadata
        try:
            self.model = KerasRuntime(artifact, threads=1).model
        except ImportError as error:
            raise EmodetectError(
                f"Grad-CAM needs TensorFlow, which cannot be imported here ({first_line(error)}). "
                f"Install it: {PIP_LINES['keras']}"
            ) from None
        self._layer = _last_map(self.model, model)
        self.cells: tuple[int, int] = tuple(self._layer.output.shape[1:3])
        self._ends_in_scores = _drop_softmax(self.model)

    def explain(self, images: np.ndarray, emotions: np.ndarray) -> np.ndarray:
        """Return a heat map for each image.

        Args:
            images: (n, size, size, channels) uint8, as returned by `model_input.to_input`.
            emotions: (n,) int64, the emotion to explain, as a position in the label order.

        Returns:
            (n, size, size) float32, scaled to a maximum of 1; all 0 if nothing supports the
            emotion.
        """
        size = self.metadata.image_size
        heat = np.empty((len(images), size, size), np.float32)
        for start in range(0, len(images), MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            for place, cells in enumerate(self._maps(images[part], emotions[part]), start=start):
                heat[place] = cv2.resize(cells, (size, size), interpolation=cv2.INTER_LINEAR)
        return heat

    def draw(self, crops: Sequence[np.ndarray], faces: Sequence[Face]) -> Iterator[np.ndarray]:
        """Yield a picture for each face: the crop, its heat map and the scores.

        The heat map explains the most probable emotion.

        Args:
            crops: (height, width, 3) uint8 BGR each.

        Returns:
            uint8 BGR each.
        """
        inputs = np.stack([self.metadata.input_of(crop) for crop in crops])
        best = [max(face.scores, key=face.scores.__getitem__) for face in faces]
        positions = np.array([self.metadata.emotions.index(emotion) for emotion in best])
        for crop, face, heat in zip(crops, faces, self.explain(inputs, positions), strict=True):
            # Padded as for the model, so that the heat map lines up.
            shown = cv2.cvtColor(to_input(crop, size=SIDE, color="rgb"), cv2.COLOR_RGB2BGR)
            scores = draw_scores(face, width=SCORES_WIDTH, height=SIDE)
            yield np.hstack([shown, overlay(shown, heat), scores])

    def _maps(self, images: np.ndarray, emotions: np.ndarray) -> np.ndarray:
        """Return (n, height, width) float32 from 0 to 1, a value for each cell of the map."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            activations, scores = _run(self.model, self._layer, images.astype(np.float32))
            if not self._ends_in_scores:
                scores = tf.math.log(tf.maximum(scores, SMALLEST))
            chosen = tf.gather(scores, emotions, axis=1, batch_dims=1)
        gradients = tape.gradient(chosen, activations, unconnected_gradients="zero")
        weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
        maps = np.maximum(tf.reduce_sum(weights * activations, axis=3).numpy(), 0)
        highest = maps.max(axis=(1, 2), keepdims=True)
        result: np.ndarray = maps / np.where(highest > 0, highest, 1)
        return result.astype(np.float32)


def explain_mistakes(model: Path, predictions: ImagePredictions) -> HeatMaps:
    """Explain the predictions of the worst mistakes; raises as `GradCam` does."""
    explainer = GradCam(model)
    worst = predictions.worst_mistakes()
    maps = explainer.explain(predictions.images[worst], predictions.predicted[worst])
    return HeatMaps(maps, explainer.cells)


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Draw a heat map over an image: yellow is high, violet is low.

    Args:
        image: (height, width, 3) uint8 BGR.
        heat: (size, size) float32 from 0 to 1, for the whole image.

    Returns:
        (height, width, 3) uint8 BGR.
    """
    height, width = image.shape[:2]
    wide = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    # Viridis works in greyscale and for colour-blind readers.
    colors = cv2.applyColorMap((255 * wide).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return cv2.addWeighted(gray, 0.5, colors, 0.5, 0)


def _last_map(model: Any, path: Path) -> Any:
    """Return the last layer whose map has enough cells; else the last with a map."""
    from emodetect.training.models.layers import layers_of

    any_map, fine_map, convolved = None, None, False
    for layer in layers_of(model):
        convolved = convolved or hasattr(layer, "kernel_size")
        shape = getattr(layer.output, "shape", ())
        # Padding shifts the cells against the image.
        if convolved and len(shape) == 4 and type(layer).__name__ != "ZeroPadding2D":
            any_map = layer
            fine_map = layer if min(shape[1:3]) >= FEWEST_CELLS else fine_map
    if any_map is None:
        raise ModelError(
            f"{path}: expected a network with convolutions, which Grad-CAM needs; this one "
            "has none."
        )
    return fine_map or any_map


def _run(model: Any, layer: Any, inputs: np.ndarray) -> tuple[Any, Any]:
    """Return a layer's output and the model's output, both on the running tape.

    Building a model with both outputs would mean rebuilding it if the layer is in a nested model.
    """
    seen = []
    call = layer.call

    def noted(*arguments: Any, **options: Any) -> Any:
        seen.append(call(*arguments, **options))
        return seen[-1]

    layer.call = noted
    try:
        outputs = model(inputs, training=False)
    finally:
        layer.call = call
    return seen[-1], outputs


def _drop_softmax(model: Any) -> bool:
    """Make a model return its logits; return False if it does not end in a softmax.

    The softmax saturates on confident predictions, so its gradients vanish.
    """
    from emodetect.training.models.layers import layers_of

    *_, last = layers_of(model)
    if getattr(getattr(last, "activation", None), "__name__", "") == "softmax":
        import keras

        last.activation = keras.activations.linear
    elif type(last).__name__ == "Softmax":
        last.call = lambda scores, **_: scores
    else:
        return False
    return True
