"""Checks that load large libraries, each in a separate process.

A library that cannot be loaded, or that crashes the process, affects only its own check.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from emodetect.doctor.checks import unexpected
from emodetect.doctor.finding import Finding, absent, broken, ok
from emodetect.doctor.pip_commands import OPENCV, PIP, install_source, reinstall_command
from emodetect.errors import EmodetectError, first_line
from emodetect.number_format import file_size

REINSTALL_OPENCV = f"{PIP} install --force-reinstall {OPENCV}"
# The module to import for each package; the other probes load the remaining packages.
PACKAGES = {
    "jinja2": "jinja2",
    "matplotlib.pyplot": "matplotlib",
    "PIL.Image": "pillow",
    "pydantic": "pydantic",
    "rich": "rich",
    "scipy.optimize": "scipy",
    "sklearn.metrics": "scikit-learn",
    "tomli_w": "tomli-w",
}
# Packages of Debian and Ubuntu, by the system library that OpenCV's wheel needs.
SYSTEM_PACKAGES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libxcb.so.1": "libxcb1",
}


def packages() -> Iterator[Finding]:
    """Load the smaller packages; yields only those that are installed but broken."""
    for module, package in PACKAGES.items():
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            continue  # the check of requirements reports it
        try:
            importlib.import_module(module)
        except Exception as error:
            yield broken(package, unexpected(error), f"{PIP} install --force-reinstall {package}")


def opencv() -> Iterator[Finding]:
    """Load OpenCV and its Haar cascade; look for YuNet, cameras and a display."""
    try:
        import cv2
    except Exception as error:
        detail = first_line(error)
        library = re.search(r"\S+\.so[.\d]*", detail)
        package = SYSTEM_PACKAGES.get(library[0].rstrip(":")) if library else None
        yield broken(
            "OpenCV", detail, f"sudo apt install {package}" if package else REINSTALL_OPENCV
        )
        return
    from emodetect.faces.detectors.registry import open_detector

    try:
        open_detector("haar")
        yield ok("OpenCV", f"{cv2.__version__}, with its Haar cascade")
    except Exception as error:
        yield broken("OpenCV", first_line(error), REINSTALL_OPENCV)
    yield _yunet()
    yield _camera()
    yield _display()


def models() -> Iterator[Finding]:
    """Verify the hashes of every shipped model, then run the default one on a drawn face."""
    from emodetect.model_file.artifact import read_artifact
    from emodetect.model_file.shipped_models import shipped_models

    for name, path in shipped_models().items():
        try:
            read_artifact(path)
        except EmodetectError as error:
            yield broken(f"model {name}", str(error), reinstall_command())
        else:
            size = file_size(path.stat().st_size)
            yield ok(f"model {name}", f"intact, {size}")
    import numpy as np

    from emodetect.data.synthetic import draw_face
    from emodetect.recognition.recognizer import EmotionRecognizer

    recognizer = EmotionRecognizer(detector="none")
    face = draw_face("happy", np.random.default_rng(0))
    recognizer.classify([face])
    start = time.perf_counter()
    recognizer.classify([face])
    took_ms = 1e3 * (time.perf_counter() - start)
    try:
        import ai_edge_litert  # noqa: F401
    except ImportError as error:
        yield absent(
            "LiteRT",
            f"{first_line(error)}; Keras is used instead, slowly ({took_ms:.0f} ms/face)",
            f"{PIP} install --force-reinstall ai-edge-litert",
        )
    else:
        yield ok("LiteRT", f"works, {took_ms:.1f} ms/face")


def tensorflow() -> Iterator[Finding]:
    """Load TensorFlow and Keras, which training needs, and look for GPUs."""
    from emodetect.machine.tensorflow_devices import gpu_count, use_tensorflow

    own = os.environ.get("KERAS_BACKEND")
    use_tensorflow()
    import keras
    import tensorflow as tf

    backend = keras.backend.backend()
    ignored = f"; KERAS_BACKEND={own} is ignored" if own not in (None, "tensorflow") else ""
    yield ok("TensorFlow", f"{tf.__version__}; Keras {keras.__version__} on {backend}{ignored}")
    yield gpu_finding(
        gpu_count(), built_with_cuda=tf.test.is_built_with_cuda(), driver=_nvidia_driver()
    )


def gpu_finding(count: int, *, built_with_cuda: bool, driver: bool) -> Finding:
    """Return what TensorFlow finds to train on, and if it is no GPU, why not."""
    if count:
        how = "; training.devices = 'all' uses all of them" if count > 1 else ""
        return ok("GPU", f"{count} found by TensorFlow{how}")
    otherwise = "training uses the CPU (inference always does)"
    if not built_with_cuda:
        return absent("GPU", f"TensorFlow has no GPU support on this system; {otherwise}", "")
    if not driver:
        return absent("GPU", f"no NVIDIA driver found; {otherwise}", "")
    return absent(
        "GPU",
        f"there is an NVIDIA driver, but TensorFlow misses CUDA's libraries; {otherwise}",
        f"{PIP} install {install_source('cuda')}",
    )


def _nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _yunet() -> Finding:
    from emodetect.faces.detectors.yunet import has_yunet, yunet_path

    if has_yunet():
        return ok("YuNet", str(yunet_path()))
    return absent(
        "YuNet",
        "the detector for turned and small faces is not downloaded",
        "emodetect models fetch yunet",
    )


def _camera() -> Finding:
    from emodetect.recognition.videos.reading.cameras import list_cameras

    cameras = list_cameras()
    if cameras:
        listed = ", ".join(f"{one.index} ({one.width} x {one.height})" for one in cameras)
        return ok("camera", listed)
    devices = sorted(Path("/dev").glob("video*")) if sys.platform == "linux" else []
    if any(not os.access(device, os.R_OK | os.W_OK) for device in devices):
        return absent(
            "camera",
            f"no permission to use {', '.join(map(str, devices))}",
            'sudo usermod -aG video "$USER", then log in again',
        )
    return absent(
        "camera",
        "none could be opened; another program may be using it",
        "to use a video file or URL instead: emodetect webcam --source VIDEO",
    )


def _display() -> Finding:
    from emodetect.recognition.videos.window import open_window

    try:
        open_window()
    except EmodetectError as error:
        problem = str(error).split(";")[0]
        return absent("display", problem, "emodetect webcam --no-display")
    return ok("display", "can show windows")


PROBES: dict[str, Callable[[], Iterator[Finding]]] = {
    "packages": packages,
    "opencv": opencv,
    "models": models,
    "tensorflow": tensorflow,
}


def main(name: str) -> None:
    """Run the named probe and print each finding as a line of JSON."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # OpenCV prints to stdout if NumPy is missing
    try:
        for finding in PROBES[name]():
            print(json.dumps(asdict(finding)), file=report, flush=True)
    except Exception as error:
        failed = broken(name, unexpected(error), reinstall_command())
        print(json.dumps(asdict(failed)), file=report, flush=True)
