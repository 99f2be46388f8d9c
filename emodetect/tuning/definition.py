"""What all trials of a study have in common; another search, config or data is another study."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna import Study

from emodetect.config import flatten
from emodetect.errors import ConfigError
from emodetect.tuning.options import TuningOptions
from emodetect.tuning.search_space import SearchSpace

IMAGES = "the images"
DEFINITION = "definition"  # in a trial, the digest; in the study, the values by digest


@dataclass(frozen=True)
class Definition:
    """The definition of a study, as one of its processes has it.

    Each trial is created with the digest of its process's definition, and the first trial's holds
    for all: of two processes that start a study at the same moment, both know which that is.

    Attributes:
        values: JSON-ready, by what the user calls them.
    """

    values: dict[str, Any]

    @classmethod
    def of(cls, options: TuningOptions, space: SearchSpace, *, images: str) -> Definition:
        """Return the definition of a study.

        Args:
            images: the fingerprint of its data set.
        """
        config = dict(flatten(options.config.model_dump(mode="json")))
        for key in ("output", "data.cache_dir"):
            config.pop(key, None)
        return cls(
            {
                **config,
                **{f"--search {one.key}": str(one) for one in space},
                "--objective": options.objective,
                IMAGES: images,
            }
        )

    @property
    def digest(self) -> str:
        """A hash of the values."""
        return hashlib.sha256(json.dumps(self.values, sort_keys=True).encode()).hexdigest()[:16]

    def store(self, study: Study) -> None:
        """Let other processes read the values; before the first trial is created."""
        study.set_user_attr(f"{DEFINITION} {self.digest}", self.values)

    def check(self, study: Study, folder: Path) -> None:
        """Raise ConfigError if the study's first trial has another definition, or none.

        Args:
            folder: of the study, for the message.
        """
        first = next(iter(study.get_trials(deepcopy=False)), None)
        digest = self.digest if first is None else first.user_attrs.get(DEFINITION)
        if digest == self.digest:
            return
        stored = study.user_attrs.get(f"{DEFINITION} {digest}")
        if stored is None:
            raise ConfigError(
                f"{folder}: this study has trials of another program, or of another version of "
                "emodetect; choose another --output."
            )
        keys = {*stored, *self.values}
        changed = sorted(key for key in keys if stored.get(key) != self.values.get(key))
        raise ConfigError(
            f"{folder}: this study was started with other values of {', '.join(changed)}; "
            "give the same to continue it, or choose another --output."
        )
