"""Check that a Keras model's config.json names only Keras' own classes, and no code."""

from __future__ import annotations

from pathlib import Path
from reprlib import repr as brief
from typing import Any

from emodetect.errors import ModelError

# Each runs code from the model file, or from another file that it names.
CODE_CLASSES = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")


def check_config(config: Any, *, path: Path) -> None:
    """Raise ModelError if a model config contains code, or a class that is not from Keras.

    Keras' safe mode also refuses most of this, but only after TensorFlow has been loaded.

    Args:
        config: the parsed config.json.
        path: of the model, for the error.
    """
    if not isinstance(config, dict) or "class_name" not in config:
        raise ModelError(f"{path}: damaged: config.json does not describe a Keras model.")
    # Custom losses and metrics do no harm: models are opened without their compile config.
    waiting = [{key: value for key, value in config.items() if key != "compile_config"}]
    while waiting:  # not recursive, since a malicious file may nest deeply
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                _check_class(str(value["class_name"]), value.get("module"), path)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _check_class(name: str, module: Any, path: Path) -> None:
    if name in CODE_CLASSES:
        raise ModelError(
            f"{path}: refused: contains {name}, which runs code from the file and could do "
            "anything on this machine; rebuild the model without it and save it again."
        )
    if not name.isidentifier():  # Keras would look for "layers.Lambda" in the module keras
        own = False
    elif module is None:
        own = name.startswith("__")  # how Keras writes values, such as __keras_tensor__
    elif module == "builtins":
        own = name == "function"  # looked up by name among Keras' own
    else:
        # A function of keras.utils may write files; an activation only calculates.
        own = module == "keras" or str(module).startswith("keras.")
        own = own and (name != "function" or module == "keras.activations")
    if not own:
        raise ModelError(
            f"{path}: refused: needs {brief(name)} of {brief(module)}, which is not a class of "
            "Keras; rebuild the model from Keras' own layers and save it again."
        )
