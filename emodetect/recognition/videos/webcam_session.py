"""What the user of a live window sees, and what the keys do."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np

from emodetect.errors import EmodetectError, VideoError
from emodetect.faces.detectors.registry import installed_detectors, open_detector
from emodetect.recognition.face import Face
from emodetect.recognition.overlay import (
    blur_faces,
    correction_keys,
    draw_faces,
    draw_panel,
    draw_text,
)
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.sightings import Seen
from emodetect.recognition.videos.pipeline import HEARTBEAT_S
from emodetect.recognition.videos.reading.capture import Frame, Source
from emodetect.recognition.videos.recording.ffmpeg import ffmpeg_for
from emodetect.recognition.videos.recording.video_writer import VideoWriter
from emodetect.recognition.videos.window import Window, save_image

HELP = (
    "q quit   s snapshot   r record   space pause   h help",
    "d next detector   b blur faces   p scores panel",
)
KEYS_IN_LINE = 4
NOTICE_S = 3.0
HINT, HINT_S = "press h for help", 5.0
# A file that falls behind by more than this, after a pause or a slow frame, does not catch up.
LATEST_S = 0.25


class Session:
    """What the user sees, and the settings that the keys change."""

    def __init__(
        self,
        recognizer: EmotionRecognizer,
        source: Source,
        notify: Callable[[str], None],
        *,
        privacy: bool,
        corrections: Path,
    ) -> None:
        self.recognizer, self.source, self.notify = recognizer, source, notify
        self.privacy, self.corrections = privacy, corrections
        self.panel, self.help = False, False
        self.corrections_by_key = correction_keys(recognizer.emotions)
        self.detector = recognizer.detector_name
        self.frame: Frame | None = None
        self.seen = Seen(())
        self.shown: np.ndarray | None = None
        self.recording: VideoWriter | None = None
        self.notice, self.notice_until_s = "", 0.0
        self.lost = ""
        self.started_s: float | None = None
        self.frame_times: deque[float] = deque(maxlen=30)

    def announce(self, text: str) -> None:
        """Show a notice for a few seconds, and print it."""
        self.notice, self.notice_until_s = text, time.monotonic() + NOTICE_S
        self.notify(text)

    def announce_source(self, text: str) -> None:
        """Print that a live source dropped out, and show it until the next call says it is back."""
        self.lost = "" if self.lost else text
        self.notify(text)

    @property
    def faces(self) -> list[Face]:
        """The faces of the last frame."""
        return self.seen.faces

    def wait_for(self, time_s: float, window: Window | None, signals: Sequence[int]) -> bool:
        """Wait until the frame at this time of a file is to be shown; return whether to stop.

        A frame that is too late for the speed of the file, or of a live source, is shown at once.
        """
        if window is None or self.source.live:
            return False
        now_s = time.monotonic()
        if self.started_s is None or now_s - self.started_s - time_s > LATEST_S:
            self.started_s = now_s - time_s
        while (left_s := self.started_s + time_s - time.monotonic()) > 0 and not signals:
            time.sleep(min(left_s, HEARTBEAT_S))
            if left_s > HEARTBEAT_S and self.show_last(window, signals):
                return True
        return False

    def draw(self, frame: Frame, seen: Seen) -> np.ndarray:
        """Return the frame with everything drawn over it, for the window and for files."""
        if self.frame is None:
            self.notice, self.notice_until_s = HINT, time.monotonic() + HINT_S
        self.frame, self.seen = frame, seen
        self.frame_times.append(time.monotonic())
        return self._draw_again()

    def _draw_again(self) -> np.ndarray:
        assert self.frame is not None
        image = self.frame.image
        drawn = draw_faces(
            blur_faces(image, self.seen.everything) if self.privacy else image, self.faces
        )
        if self.panel and self.faces:
            draw_panel(drawn, _largest(self.faces))
        draw_text(drawn, f"{_rate(self.frame_times):.1f} FPS")
        self.shown = drawn
        return drawn

    def record(self, drawn: Frame) -> None:
        """Add a frame to the recording, if one is running; stop it if that fails."""
        if self.recording is not None:
            try:
                self.recording.write(drawn)
            except VideoError as error:
                with suppress(VideoError):  # it is announced
                    self.stop_recording()
                self.announce(str(error))

    def stop_recording(self) -> None:
        """Complete the recording, if one is running."""
        recording, self.recording = self.recording, None
        if recording is not None:
            recording.close()
            if recording.complete:
                self.announce(f"recorded {recording.path}")

    def show_last(self, window: Window, signals: Sequence[int]) -> bool:
        """Show the last frame, handle the user's key, and return whether to stop.

        A pause ends with the space key, `q`, the window's close button and the first of `signals`.
        """
        self._show(window)
        key = window.key()
        self._press(key)
        while key == " " and not signals:  # paused until space is pressed again
            pressed = window.key()
            if pressed == "q" or window.closed():
                return True
            if pressed == " ":
                break
            self._press(pressed)
            self._show(window, "paused: press space to continue")
            time.sleep(0.02)
        return key == "q" or window.closed()

    def _show(self, window: Window, *notices: str) -> None:
        if self.shown is None:
            return
        lines = [*notices, *filter(None, [self.lost])]
        if time.monotonic() < self.notice_until_s:
            lines.append(self.notice)
        if self.recording is not None:
            lines.append(f"recording {self.recording.path.name}")
        if self.help:
            lines += [*HELP, *_correction_lines(self.corrections_by_key)]
        if not lines:
            window.show(self.shown)
            return
        noted = self.shown.copy()
        draw_text(noted, *lines, "")
        window.show(noted)

    def _press(self, key: str) -> None:
        try:
            if key == "s" and self.shown is not None:
                path = save_image(self.shown, Path.cwd(), f"snapshot-{_now()}")
                self.announce(f"saved {path}")
            elif key == "r":
                self._toggle_recording()
            elif key == "d":
                self._next_detector()
            elif key == "b":
                self.privacy = not self.privacy
                self.announce(f"faces are {'blurred' if self.privacy else 'no longer blurred'}")
            elif key == "p":
                self.panel = not self.panel
            elif key == "h":
                self.help = not self.help
            elif key in self.corrections_by_key:
                self._correct(self.corrections_by_key[key])
        except (OSError, EmodetectError) as error:
            self.announce(f"failed: {error}")
        if key in ("b", "p") and self.frame is not None:
            self._draw_again()  # at once, even while paused: a snapshot saves what is shown

    def _toggle_recording(self) -> None:
        if self.recording is not None:
            self.stop_recording()
            return
        path = Path.cwd() / f"recording-{_now()}.mp4"
        if path.exists():
            raise VideoError(f"{path} already exists")
        ffmpeg_for(path)
        self.recording = VideoWriter(path, fps=self.source.fps)

    def _next_detector(self) -> None:
        names = installed_detectors()
        place = names.index(self.detector) + 1 if self.detector in names else 0
        self.detector = names[place % len(names)]
        # The analysis, in another thread, uses the new one from its next frame on.
        self.recognizer.detector = open_detector(self.detector)
        more = "" if len(names) > 1 else "; get another with `emodetect models fetch yunet`"
        self.announce(f"detector: {self.detector}{more}")

    def _correct(self, emotion: str) -> None:
        if self.privacy:
            self.announce("faces are blurred, so none is saved; press b to show them")
        elif self.frame is None or not self.faces:
            self.announce("no face to save")
        else:
            crop = self.recognizer.crop(self.frame.image, _largest(self.faces).box)
            folder = self.corrections / emotion
            folder.mkdir(parents=True, exist_ok=True)
            self.announce(f"saved {save_image(crop, folder, _now())}")


def _correction_lines(corrections: Mapping[str, str]) -> list[str]:
    named = [f"{key} {label}" for key, label in corrections.items()]
    return [
        f"1-{len(named)} save the largest face as a correction:",
        *(
            "   ".join(named[start : start + KEYS_IN_LINE])
            for start in range(0, len(named), KEYS_IN_LINE)
        ),
    ]


def _largest(faces: Sequence[Face]) -> Face:
    return max(faces, key=lambda face: face.box[2] * face.box[3])


def _rate(times: Sequence[float]) -> float:
    """Return the frames per second for frames at these times in seconds."""
    return (len(times) - 1) / max(times[-1] - times[0], 1e-9)


def _now() -> str:
    return f"{datetime.now():%Y%m%d-%H%M%S}"
