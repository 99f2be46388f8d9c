"""The export formats by name.

Keras' own exports to ONNX and SavedModel are not used because their output is wrong. 8-bit ONNX
and OpenVINO have not been tried.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emodetect.exporting.formats.format import Format

# Each is the module of that name in this folder. Only the names are here, so that
# `emodetect export --help` can list them without importing NumPy.
FORMAT_NAMES = ("tflite", "onnx", "saved_model", "openvino")


def format_named(name: str) -> Format:
    """Return one of FORMAT_NAMES."""
    found: Format = import_module(f"emodetect.exporting.formats.{name}").FORMAT
    return found
