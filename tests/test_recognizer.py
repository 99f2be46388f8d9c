"""The recogniser in Python programs: whatever they hold, from threads, in other processes."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from running import posix_only, run_python

import emodetect
from emodetect import AnalyzedVideo, EmodetectError, EmotionRecognizer, Face, ImageError, errors
from emodetect.data.synthetic import draw_face, draw_scene
from emodetect.faces.detectors.haar import HaarDetector
from emodetect.images import pillow_decoding
from emodetect.images.conversion import AnyImage, to_bgr
from emodetect.images.model_input import to_input
from emodetect.images.reading import read_image
from emodetect.machine.threads import SharedPool
from emodetect.recognition.photos.analysis import Photo, analyze_photos
from emodetect.recognition.runtimes import litert

SCENE_FILE = Path(__file__).parent.parent / "docs" / "scene.jpg"
SCENE = draw_scene(["happy", "sad", "angry"], np.random.default_rng(5)).image


class Unreadable:
    """A file from elsewhere, of which nobody knows what it raises."""

    def read(self) -> bytes:
        raise RuntimeError("the line is cut")


class Upload:
    """As web frameworks hand out files."""

    async def read(self) -> bytes:
        return b""


@pytest.fixture(scope="module")
def recognizer() -> EmotionRecognizer:
    """The shipped model with the default detector."""
    return EmotionRecognizer()


@pytest.fixture(scope="module")
def faces(recognizer: EmotionRecognizer) -> list[Face]:
    """What is in the scene, as one thread finds it."""
    found = recognizer.analyze(SCENE)
    assert len(found) == 3
    return found


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def _transparent(image: np.ndarray) -> np.ndarray:
    return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])


def test_what_programs_hold_is_taken(
    recognizer: EmotionRecognizer, faces: list[Face], tmp_path: Path
) -> None:
    """A path as text or Path, bytes, a Pillow image and BGR, BGRA or RGB pixels give the same."""
    path = tmp_path / "scene.png"
    path.write_bytes(_png(SCENE))
    rgb = np.ascontiguousarray(SCENE[:, :, ::-1])
    same: list[AnyImage] = [str(path), path, _png(SCENE), Image.open(path), _transparent(SCENE)]
    for image in (*same, bytearray(_png(SCENE)), Image.fromarray(rgb), SCENE[::1, ::1]):
        assert recognizer.analyze(image) == faces
    with path.open("rb") as file:
        assert recognizer.analyze([file, io.BytesIO(_png(SCENE))]) == [faces, faces]
    assert recognizer.analyze(rgb, color="rgb") == faces
    assert recognizer.analyze(_transparent(rgb), color="rgb") == faces
    assert recognizer.analyze(same) == [faces] * len(same)
    assert recognizer.analyze((SCENE,)) == [faces]
    assert recognizer.analyze([]) == []


def test_a_grey_picture_is_taken_with_and_without_its_channel(
    recognizer: EmotionRecognizer,
) -> None:
    """Grey pixels are read as (height, width), (height, width, 1), from Pillow and from a file."""
    gray = cv2.cvtColor(SCENE, cv2.COLOR_BGR2GRAY)
    alike = [gray, gray[:, :, np.newaxis], Image.fromarray(gray), _png(gray)]
    found = recognizer.analyze(alike)
    assert len(found[0]) == 3
    assert found == [found[0]] * len(alike)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I"])
def test_each_kind_of_pillow_image_is_taken(mode: str) -> None:
    """Pillow's modes end as the pixels that they show."""
    half = np.zeros((20, 30), np.uint8)
    half[:, 15:] = 255
    if mode.startswith("I"):  # 16 bits, and 32 of which files use 16
        picture = Image.fromarray(half.astype(np.uint16) * 257).convert(mode)
    else:
        picture = Image.fromarray(half).convert(mode)
    pixels = to_bgr(picture)
    assert pixels.shape == (20, 30, 3)
    assert pixels[:, :15].max() <= 2
    assert pixels[:, 15:].min() >= 253


def test_a_pillow_image_is_turned_upright() -> None:
    """The orientation that a camera notes is followed, as it is in a file."""
    picture = Image.new("RGB", (30, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif)
    assert to_bgr(Image.open(file)).shape == to_bgr(file.getvalue()).shape == (30, 20, 3)


def test_transparent_pixels_are_laid_on_white() -> None:
    """Pixels with transparency end as they would from a file."""
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[:, 3:, 3] = 255
    pixels[:, 2, 3] = 128
    expected = to_bgr(_png(pixels))
    assert (np.abs(to_bgr(pixels).astype(int) - expected) <= 1).all()
    assert (to_bgr(pixels)[:, 0] == 255).all()


def test_an_image_of_a_list_is_named_by_its_place(recognizer: EmotionRecognizer) -> None:
    """An array has no name of its own."""
    images = [np.zeros((5, 5, 3), np.uint8), np.zeros((5, 5, 2), np.uint8)]
    with pytest.raises(ImageError, match=r"^image 2 of 2: expected pixels"):
        recognizer.analyze(images)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((5, 5, 3), np.float32), r"uint8 from 0 to 255, got \(5, 5, 3\), float32"),
        (np.zeros((5, 5, 2), np.uint8), r"got \(5, 5, 2\)"),
        (np.zeros((2, 5, 5, 3), np.uint8), r"got \(2, 5, 5, 3\)"),
        (np.zeros(5, np.uint8), r"got \(5,\)"),
        (np.zeros((), np.uint8), r"got \(\), uint8"),
        (np.zeros((0, 5, 3), np.uint8), r"got \(0, 5, 3\)"),
        (None, "a Pillow image, or a list of them, got NoneType"),
        (3, "got int"),
        ("gone.jpg", "gone.jpg: no such file"),
        ("", "'': expected an image file, got a folder"),
        ("a\0b.jpg", "no file can have this name"),
        ("data:image/jpeg;base64," + "A" * 10_000, r"^.{0,120}$"),
        (io.StringIO("photo"), "opened in binary mode, got str"),
        (Upload(), "an asynchronous one; await its read"),
        (io.BytesIO(), "the file is empty"),
        (Unreadable(), "cannot be read: the line is cut"),
        (Image.new("RGB", (0, 0)), "the image has no pixels"),
        (Image.new("L", (5, 5), 200).convert("I"), r"none above 255; convert it with .convert"),
        (Image.new("I;16", (5, 5), 200), r"mode I;16, got none above 255"),
        (b"", "the file is empty"),
        (b"no image", "not an image"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(
    recognizer: EmotionRecognizer, image: AnyImage, message: str
) -> None:
    """What cannot be taken is told with what was expected and what came."""
    with pytest.raises(ImageError, match=message) as refused:
        recognizer.analyze(image)
    assert "\n" not in str(refused.value)


def test_an_unknown_order_of_channels_is_refused(recognizer: EmotionRecognizer) -> None:
    """A misspelt `color` is an error, not ignored."""
    with pytest.raises(ImageError, match="expected 'bgr' or 'rgb', got 'RGB'"):
        recognizer.analyze(SCENE, color="RGB")  # type: ignore[call-overload]


def test_an_unknown_order_of_drawn_channels_is_refused(faces: list[Face]) -> None:
    """Not drawn in one of the orders."""
    result = EmotionRecognizer(detector="none").analyze(SCENE)
    with pytest.raises(ImageError, match="expected 'bgr' or 'rgb', got 'BGR'"):
        result.plot(color="BGR")  # type: ignore[arg-type]


@pytest.mark.parametrize("detector", ["haar", "none"])
def test_threads_share_one(detector: str) -> None:
    """Eight threads that use one recogniser at once get what one thread gets."""
    recognizer = EmotionRecognizer(detector=detector)
    small = cv2.resize(SCENE, None, fx=0.5, fy=0.5)
    alone = [recognizer.analyze(image) for image in (SCENE, small)]
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda number: recognizer.analyze([SCENE, small][number % 2]), range(80))
        )
    assert found == alone * 40


def test_no_two_threads_use_one_resource_at_once() -> None:
    """A pool opens no more than asked for, lends each to one thread, and takes it back."""
    opened, in_use, most_at_once = [], set(), 0
    lock = threading.Lock()

    def open_one() -> object:
        opened.append(object())
        return opened[-1]

    pool = SharedPool(open_one, most=3)

    def work(_: int) -> None:
        nonlocal most_at_once
        with pool.borrow() as one:
            with lock:
                assert one not in in_use
                in_use.add(one)
                most_at_once = max(most_at_once, len(in_use))
            threading.Event().wait(0.001)
            with lock:
                in_use.discard(one)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(work, range(200)))
    assert most_at_once <= len(opened) <= 3


def test_a_resource_comes_back_after_an_error() -> None:
    """A search that fails does not take the detector from those that follow."""
    pool = SharedPool(HaarDetector, most=1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), pool.borrow():
            raise ZeroDivisionError
    with pool.borrow() as detector:
        assert len(detector.detect(SCENE)) == 3


def test_a_pickle_holds_the_settings(faces: list[Face], artifact: Path) -> None:
    """What comes out of a pickle, a copy or a deep copy gives the same, with the same settings."""
    recognizer = EmotionRecognizer(uncertain_below=0.999, threads=1, tta="flip")
    content = pickle.dumps(recognizer)
    assert len(content) < 1000
    for same in (pickle.loads(content), copy(recognizer), deepcopy(recognizer)):
        assert (same.uncertain_below, same.tta) == (0.999, "flip")
        assert same.analyze(SCENE) == recognizer.analyze(SCENE) != faces
    own = EmotionRecognizer(artifact, detector="none")
    assert pickle.loads(pickle.dumps(own)).analyze(SCENE) == own.analyze(SCENE)


def test_a_relative_model_is_found_from_another_folder(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pickle of a model named by a relative path opens wherever it is unpacked."""
    opened: list[str] = []
    monkeypatch.setattr("emodetect.recognition.recognizer.open_detector", opened.append)
    monkeypatch.chdir(artifact.parent)
    content = pickle.dumps(EmotionRecognizer(artifact.name, detector="faces.onnx"))
    monkeypatch.chdir(tmp_path)
    unpacked = pickle.loads(content)
    assert unpacked.path == artifact.absolute()
    assert {*opened} == {unpacked.detector_name} == {str(artifact.with_name("faces.onnx"))}


def test_a_spawned_process_gets_one_that_works(tmp_path: Path) -> None:
    """A recogniser can be sent to the processes of a pool that are started afresh."""
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing, numpy, emodetect\n"
        "from emodetect.data.synthetic import draw_scene\n"
        "if __name__ == '__main__':\n"
        "    one = emodetect.EmotionRecognizer()\n"
        "    image = draw_scene(['happy', 'sad'], numpy.random.default_rng(5)).image\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        assert pool.map(one.analyze, [image]) == [one.analyze(image)]\n"
        "        print('same')\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert done.stdout == "same\n", done.stderr


def test_a_forked_process_goes_on(recognizer: EmotionRecognizer, faces: list[Face]) -> None:
    """After a fork the child works on, and ends; the threads of its parent are not waited for."""

    def child() -> None:
        sys.exit(0 if recognizer.analyze(SCENE) == faces else 3)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert recognizer.analyze(SCENE) == faces


@posix_only
def test_a_forked_process_ends(tmp_path: Path) -> None:
    """One that has used the recogniser of its parent would wait for its threads as it ends."""
    code = (
        "import os, signal, sys, warnings\n"
        "import numpy as np\n"
        "from emodetect import EmotionRecognizer\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"  # of forks beside threads
        "one = EmotionRecognizer(detector='none')\n"
        "child = os.fork()\n"
        "signal.alarm(30)\n"
        "image = np.zeros((48, 48, 3), np.uint8)\n"
        "if child:\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "one.analyze(image)\n"
    )
    done = run_python(code)
    assert (done.returncode, done.stderr) == (0, "")


@posix_only
def test_a_process_forked_while_stderr_is_hidden_has_its_own() -> None:
    """Another thread may open a model at that moment."""
    code = (
        "import os, sys, threading\n"
        "from emodetect.machine.quiet_libraries import quiet_stderr\n"
        "inside, leave = threading.Event(), threading.Event()\n"
        "def hide():\n"
        "    with quiet_stderr():\n"
        "        inside.set()\n"
        "        leave.wait(30)\n"
        "thread = threading.Thread(target=hide)\n"
        "thread.start()\n"
        "inside.wait(30)\n"
        "child = os.fork()\n"
        "os.write(2, b'parent ' if child else b'child ')\n"
        "if not child:\n"
        "    with quiet_stderr():\n"
        "        os.write(2, b'hidden ')\n"
        "    os.write(2, b'again ')\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "leave.set()\n"
        "thread.join()\n"
        "os.write(2, b'end')\n"
    )
    assert run_python(code).stderr == "child again end"


def test_only_a_network_that_is_new_hides_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other threads write there meanwhile would be lost."""
    EmotionRecognizer(detector="none")
    monkeypatch.setattr(litert, "quiet_stderr", lambda: pytest.fail("hidden"))
    EmotionRecognizer(detector="none")


@posix_only
def test_a_fork_waits_until_no_image_is_opened() -> None:
    """A child would wait for ever for a lock that another thread of its parent had held."""
    opening, go_on = threading.Event(), threading.Event()

    def open_slowly() -> None:
        with pillow_decoding._quiet():
            opening.set()
            go_on.wait(60)

    thread = threading.Thread(target=open_slowly)
    thread.start()
    opening.wait(60)
    timer = threading.Timer(0.2, go_on.set)
    timer.start()
    child = os.fork()
    if child == 0:
        free = pillow_decoding._shared.acquire(timeout=5)
        os._exit(0 if free and Image.MAX_IMAGE_PIXELS else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
    timer.join()
    assert pillow_decoding._shared.acquire(timeout=5)
    pillow_decoding._shared.release()


@posix_only
def test_a_fork_while_its_own_thread_opens_an_image_goes_on() -> None:
    """As by a signal handler, which would wait for its own thread for ever."""
    code = (
        "import os, signal, sys\n"
        "from emodetect.images import pillow_decoding\n"
        "signal.alarm(20)\n"
        "with pillow_decoding._quiet():\n"
        "    child = os.fork()\n"
        "if child:\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_frames_of_another_channel_order_are_tracked(
    recognizer: EmotionRecognizer, faces: list[Face]
) -> None:
    """Frames as most Python video readers give them, RGB, are followed like BGR ones."""
    frames = [SCENE] * 3
    rgb = [frame[:, :, ::-1] for frame in frames]
    assert list(recognizer.track(rgb, color="rgb")) == list(recognizer.track(frames))


@pytest.mark.parametrize("frames", [SCENE, "talk.mp4", b"talk", cv2.VideoCapture(), None])
def test_what_is_no_series_of_frames_is_refused(recognizer: EmotionRecognizer, frames: Any) -> None:
    """A single image, or a video file, given to `track` is an error, not a video without faces."""
    with pytest.raises(EmodetectError, match="expected images one after the other"):
        list(recognizer.track(frames))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threads": 1.5}, "threads: expected a whole number or None, got 1.5"),
        ({"threads": "2"}, "got '2'"),
        ({"threads": 100_000}, "threads: expected 1 to 1,024"),
        ({"uncertain_below": "0.5"}, "expected a probability from 0 to 1, got '0.5'"),
        ({"uncertain_below": None}, "got None"),
        ({"tta": "mirror"}, "tta: expected \"flip\" or None, got 'mirror'"),
    ],
)
def test_settings_of_another_kind_are_named(settings: dict[str, Any], message: str) -> None:
    """A setting of a wrong type is told as such, not as a damaged model."""
    with pytest.raises(EmodetectError, match=message):
        EmotionRecognizer(**settings)
    assert EmotionRecognizer(threads=np.int64(1), uncertain_below=np.float32(0.5)).analyze(SCENE)


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        (np.zeros((2, 48, 48, 1)), r"\(48, 48, 1\), float64"),
        (np.zeros((2, 64, 64, 1), np.uint8), r"\(64, 64, 1\), uint8"),
        (np.zeros((48, 48, 1), np.uint8), r"\(48, 1\), uint8"),
        ("faces", r"\(\), "),
    ],
)
def test_inputs_of_another_kind_are_refused(
    recognizer: EmotionRecognizer, inputs: Any, found: str
) -> None:
    """Pixels from 0 to 1 would get an answer, which means nothing."""
    with pytest.raises(ImageError, match=rf"expected a sequence of inputs .* shape {found}"):
        recognizer.classify_inputs(inputs)


def test_flip_averages_each_face_and_its_mirror_image(recognizer: EmotionRecognizer) -> None:
    """With tta="flip" a face and its mirror image score alike: the mean of both, calibrated."""
    flip = EmotionRecognizer(tta="flip")
    rng = np.random.default_rng(7)
    crops = [draw_face(emotion, rng) for emotion in ("happy", "sad", "angry")]
    mirrored = [crop[:, ::-1] for crop in crops]
    found = flip.classify(crops)
    assert found == pytest.approx(flip.classify(mirrored), abs=1e-5)
    size, color = recognizer.metadata.image_size, recognizer.metadata.color
    outputs = [
        recognizer.runtime.run(
            np.stack([to_input(crop, size=size, color=color) for crop in some]).astype(np.float32)
        )
        for some in (crops, mirrored)
    ]
    assert found == pytest.approx(recognizer.probabilities(np.mean(outputs, axis=0)), abs=1e-5)
    assert np.abs(found - recognizer.classify(crops)).max() > 0.01


@pytest.mark.parametrize("detector", ["haar", "none"])
def test_flip_holds_wherever_faces_are_found(detector: str) -> None:
    """A photo, photos of a folder and frames of a video get the scores of the setting."""
    flip = EmotionRecognizer(tta="flip", detector=detector)
    (photo,) = analyze_photos([Photo(SCENE_FILE, Path(SCENE_FILE.name))], flip)
    frame = next(iter(flip.track([SCENE] * 2)))
    for image, found in (
        (read_image(SCENE_FILE), photo.faces),
        (SCENE, flip.analyze(SCENE)),
        (SCENE, frame),
    ):
        expected = flip.classify([flip.crop(image, face.box) for face in found])
        scores = np.array([list(face.scores.values()) for face in found])
        assert scores == pytest.approx(expected, abs=1e-5)


def test_the_errors_and_results_are_importable_from_the_top() -> None:
    """What a program catches and annotates has a public name."""
    for name in emodetect.__all__:
        assert getattr(emodetect, name) is not None
    for way in (str(SCENE_FILE), SCENE_FILE, SCENE_FILE.read_bytes()):
        assert emodetect.read_image(way).shape[2] == 3
    with pytest.raises(ImageError, match=r"^gone\.jpg: no such file"):
        emodetect.read_image("gone.jpg")
    assert issubclass(emodetect.ImageError, emodetect.EmodetectError)
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert getattr(emodetect, name) is value
    assert emodetect.Face is Face


def test_what_functions_take_and_return_has_a_public_name() -> None:
    """Options can be set, and results annotated, without looking for modules."""
    for function in (EmotionRecognizer.track, emodetect.analyze_video, AnalyzedVideo.figures):
        for name in re.findall(r"\w+", " ".join(function.__annotations__.values())):
            kind = getattr(sys.modules[function.__module__], name, None)
            if getattr(kind, "__module__", "").startswith("emodetect."):
                assert getattr(emodetect, name) is kind
    assert emodetect.EmotionTracker(EmotionRecognizer()).update(SCENE, 0.0) == []
