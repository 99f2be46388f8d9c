"""Check that a Keras model's config.json names only what networks for images are built from.

By lists of what is allowed: Keras also has classes that run code from the file, read other files or
call functions, and gets new ones with each version.
"""

from __future__ import annotations

from pathlib import Path
from reprlib import repr as brief
from typing import Any

from emodetect.errors import ModelError

# Each runs code from the model file, or from another file that it names.
CODE_CLASSES = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")

MODELS = ("Functional", "Model", "Sequential")
# How Keras writes values. Not __typespec__, for which it takes other classes.
VALUES = ("__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__")
# Not StringLookup, TextVectorization and the like, whose vocabulary may be any file.
_LAYER_NAMES = """
InputLayer Identity Dense EinsumDense Embedding ReversibleEmbedding Masking
Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D
ConvLSTM3D DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D
Activation ELU LeakyReLU PReLU ReLU Softmax ActivityRegularization
AlphaDropout Dropout GaussianDropout GaussianNoise
SpatialDropout1D SpatialDropout2D SpatialDropout3D
BatchNormalization GroupNormalization LayerNormalization Normalization RMSNormalization
SpectralNormalization UnitNormalization
AveragePooling1D AveragePooling2D AveragePooling3D MaxPooling1D MaxPooling2D MaxPooling3D
AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D
GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
Cropping1D Cropping2D Cropping3D UpSampling1D UpSampling2D UpSampling3D
ZeroPadding1D ZeroPadding2D ZeroPadding3D Flatten Permute RepeatVector Reshape
Add Average Concatenate Dot Maximum Minimum Multiply Subtract
AdditiveAttention Attention GroupQueryAttention MultiHeadAttention
Bidirectional GRU GRUCell LSTM LSTMCell RNN SimpleRNN SimpleRNNCell StackedRNNCells
TimeDistributed
AugMix AutoContrast CenterCrop ContrastLimitedAdaptiveHistogramEqualization CutMix Equalization
MixUp Pipeline RandAugment Rescaling Resizing Solarization
RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue
RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation
RandomSharpness RandomShear RandomTranslation RandomZoom
"""
LAYERS = frozenset(_LAYER_NAMES.split())
# Their classes only calculate; in these modules of operations, none calls a function.
MODULES = (
    *("keras.initializers", "keras.regularizers", "keras.constraints", "keras.dtype_policies"),
    *("keras.src.ops.image", "keras.src.ops.linalg", "keras.src.ops.math", "keras.src.ops.nn"),
    *("keras.src.ops.numpy", "keras.src.random.seed_generator"),
)
CORE_OPERATIONS = ("Cast", "ConvertToTensor", "SaturateCast", "Slice", "StopGradient", "Unstack")


def check_config(config: Any, *, path: Path) -> None:
    """Raise ModelError if a model config is not a model's, or names anything that is not allowed.

    Keras' safe mode also refuses most of this, but only after TensorFlow has been loaded.

    Args:
        config: the parsed config.json.
        path: of the model, for the error.
    """
    if not isinstance(config, dict) or config.get("class_name") not in MODELS:
        raise ModelError(f"{path}: damaged: config.json does not describe a Keras model.")
    # Custom losses and metrics do no harm: models are opened without their compile config.
    waiting = [{key: value for key, value in config.items() if key != "compile_config"}]
    while waiting:  # not recursive, since a malicious file may nest deeply
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                _check_class(value, path)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _check_class(value: dict[str, Any], path: Path) -> None:
    name, module = str(value["class_name"]), value.get("module")
    if name in CODE_CLASSES:
        raise ModelError(
            f"{path}: refused: contains {name}, which runs code from the file and could do "
            "anything on this machine; rebuild the model without it and save it again."
        )
    # A registered name comes first in Keras; its own classes and functions have theirs, or none.
    registered = value.get("registered_name")
    if registered not in (None, name, value.get("config")):
        module = registered
    if not _is_allowed(name, str(module)):
        raise ModelError(
            f"{path}: refused: needs {brief(name)} of {brief(module)}, which is not a class of "
            "Keras for networks that take images; rebuild the model from Keras' own layers and "
            "save it again."
        )


def _is_allowed(name: str, module: str) -> bool:
    if not name.isidentifier():  # Keras would look for "layers.Lambda" in the module keras
        return False
    if name.startswith("_"):
        return name in VALUES and module == "None"
    if name == "function":  # one of keras.utils may write files; an activation only calculates
        return module in ("builtins", "keras.activations")  # builtins: by name among Keras' own
    if name == "DTypePolicy":
        return module == "keras"
    if module == "keras" or module.startswith("keras.src.models."):
        return name in MODELS
    if module == "keras.layers" or module.startswith("keras.src.layers."):
        return name in LAYERS
    return module in MODULES or (module == "keras.src.ops.core" and name in CORE_OPERATIONS)
