"""The synthetic source: faces drawn once to the cache folder, then read from there."""

from __future__ import annotations

import hashlib

from emodetect.config import DataConfig
from emodetect.data.cache.cache_folder import publish
from emodetect.data.listing import Listing
from emodetect.data.readers.folder import read_folder
from emodetect.data.synthetic import draw_dataset
from emodetect.emotions import EMOTIONS
from emodetect.machine.computer import cache_root


def read_synthetic(config: DataConfig) -> Listing:
    """List drawn faces, drawing them to the cache folder first if they are not there."""
    drawn = config.synthetic
    emotions = config.classes or EMOTIONS
    key = f"v2 {drawn.model_dump()} {emotions}"
    name = "synthetic-" + hashlib.sha256(key.encode()).hexdigest()[:16]
    folder = cache_root(config.cache_dir) / name
    if not folder.is_dir():
        with publish(folder) as unfinished:
            draw_dataset(
                unfinished,
                counts={"train": drawn.train_per_class, "test": drawn.test_per_class},
                emotions=emotions,
                seed=0,
                size=drawn.size,
                weakest=drawn.weakest,
            )
    return read_folder(config.model_copy(update={"path": folder}))
