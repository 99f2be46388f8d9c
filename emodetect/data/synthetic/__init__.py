"""Drawn faces with a known emotion and box, for tests and demos without a download."""

from emodetect.data.synthetic.datasets import draw_dataset
from emodetect.data.synthetic.faces import draw_face
from emodetect.data.synthetic.scenes import Scene, SceneFace, draw_film, draw_scene

__all__ = ["Scene", "SceneFace", "draw_dataset", "draw_face", "draw_film", "draw_scene"]
