"""The keys of a config that a study searches, and their values: parsed, checked, and drawn."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, TypeAlias

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from emodetect.config import ExperimentConfig, number_type, toml_or_text, validate_config
from emodetect.errors import ConfigError

EXPECTED = "expected KEY=LOW..HIGH or KEY=VALUE,VALUE"
EXAMPLE = "Example: --search training.learning_rate=1e-4..1e-2"
# A range this wide (highest / lowest) is searched on a log scale.
LOG_FACTOR = 10
# The only keys of [data] that leave the validation images as they are.
DATA_KEYS = ("data.image_size", "data.color", "data.margin")
# Keys whose values may be missing on this machine.
STARTING_KEYS = ("model.init", "model.weights", "training.devices")
_RANGE = re.compile(r"(?P<low>[^.,]+(?:\.[^.,]+)?)\.\.(?P<high>[^.,]+(?:\.[^.,]+)?)")


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both included, of a key that takes numbers."""

    key: str
    low: float
    high: float

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values at which the range is checked."""
        return self.low, self.high

    @property
    def log(self) -> bool:
        """Whether it is searched on a log scale: learning rates, and other wide ranges."""
        is_rate = self.key.endswith("learning_rate")
        return self.low > 0 and (is_rate or self.high / self.low > LOG_FACTOR)

    @property
    def distribution(self) -> BaseDistribution:
        """The range for Optuna; of integers, if the key takes only those."""
        if number_type(self.key) is int:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    @property
    def params(self) -> Sequence[Any] | None:
        """All values that Optuna can draw; None if they cannot be counted."""
        if number_type(self.key) is int:
            return range(int(self.low), int(self.high) + 1)
        return None

    def draw(self, trial: Trial) -> Any:
        """Return what Optuna draws for a trial, or has drawn."""
        if number_type(self.key) is int:
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)

    def value(self, param: Any) -> Any:
        """Return the config's value for what Optuna has drawn."""
        return param

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


@dataclass(frozen=True)
class Choices:
    """The values of a key, by the text that stands for each in the study."""

    key: str
    values: Mapping[str, Any]

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values to check, which are all."""
        return tuple(self.values.values())

    @property
    def distribution(self) -> BaseDistribution:
        """The texts for Optuna, which takes no arrays."""
        return CategoricalDistribution(tuple(self.values))

    @property
    def params(self) -> list[Any]:
        """All texts that Optuna can draw."""
        return list(self.values)

    def draw(self, trial: Trial) -> Any:
        """Return what Optuna draws for a trial, or has drawn."""
        return trial.suggest_categorical(self.key, tuple(self.values))

    def value(self, param: Any) -> Any:
        """Return the config's value for what Optuna has drawn."""
        return self.values[param]

    def __str__(self) -> str:
        return ",".join(self.values)


SearchSpace: TypeAlias = tuple[Range | Choices, ...]


def parse_search(texts: Sequence[str]) -> SearchSpace:
    """Parse `KEY=LOW..HIGH` and `KEY=VALUE,VALUE`; values are TOML if possible, otherwise text.

    Raises ConfigError for text of another form, an empty range, and a key or value given twice.
    """
    space: list[Range | Choices] = []
    for text in texts:
        key, separator, values = (part.strip() for part in text.partition("="))
        if not separator or not all(part.strip() for part in key.split(".")) or not values:
            raise ConfigError(f"--search: {EXPECTED}, got {text!r}. {EXAMPLE}")
        if any(key == other.key for other in space):
            raise ConfigError(f"--search {text}: {key} is given twice; give all values at once.")
        is_range = ".." in values and "," not in values
        space.append(_range(key, values) if is_range else _choices(key, values))
    return tuple(space)


def _range(key: str, text: str) -> Range:
    ends = _RANGE.fullmatch(text)
    numbers = [toml_or_text(ends[name]) for name in ("low", "high")] if ends else []
    if not numbers or not all(map(_is_number, numbers)):
        raise ConfigError(f"--search {key}={text}: expected two numbers, LOW..HIGH. {EXAMPLE}")
    low, high = numbers
    if not low < high:
        raise ConfigError(
            f"--search {key}={text}: the range is empty; expected a lower number before the dots. "
            f"For one value, use --set {key}={low}."
        )
    return Range(key, low, high)


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)
    except OverflowError:  # an integer larger than any float
        return False


def _choices(key: str, text: str) -> Choices:
    try:
        values = tomllib.loads(f"values = [{text}]")["values"]
    except tomllib.TOMLDecodeError:
        values = [toml_or_text(part) for part in text.split(",")]
    for place, value in enumerate(values):
        if value == "":
            raise ConfigError(f"--search {key}={text}: there is no value between two commas.")
        if any(_same(one, value) for one in values[:place]):
            raise ConfigError(f"--search {key}={text}: {value} is given twice; remove one.")
    if len(values) < 2:
        raise ConfigError(
            f"--search {key}={text}: {EXPECTED}, got one value; for one, use --set {key}={text}."
        )
    return Choices(key, {value_text(value): value for value in values})


def _same(one: Any, other: Any) -> bool:
    # True equals 1 in Python; and "1" has the text of 1, by which results name the values.
    equal = one == other and isinstance(one, bool) == isinstance(other, bool)
    return equal or value_text(one) == value_text(other)


def value_text(value: Any) -> str:
    """Return a value as it is written in TOML, but text without quotes."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def short_value(value: Any) -> str:
    """Return a value for people: numbers with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else value_text(value)


def check_space(config: ExperimentConfig, space: SearchSpace) -> None:
    """Check the ends of all ranges and all choices against the config, in pairs of keys.

    Raises ConfigError as `validate_config`, and for keys that would make trials incomparable.
    """
    if not space:
        raise ConfigError(f"--search: {EXPECTED}, got nothing to search. {EXAMPLE}")
    first = {one.key: one.ends[0] for one in space}
    for pair in combinations(space, min(2, len(space))):
        for values in product(*(one.ends for one in pair)):
            chosen = {**first, **dict(zip((one.key for one in pair), values, strict=True))}
            words = ", ".join(f"{key}={value_text(value)}" for key, value in chosen.items())
            _changed(config, chosen, origin=f"--search with {words}")
    for key in (one.key for one in space):
        if key == "output":
            raise ConfigError("--search output: each trial has its own run folder; remove it.")
        if key == "seed":
            raise ConfigError("--search seed: the best of several seeds is chance; remove it.")
        if key.startswith("data.") and key not in DATA_KEYS:
            raise ConfigError(
                f"--search {key}: trials with other images cannot be compared; of data, expected "
                f"{', '.join(DATA_KEYS)}. To change {key} for all trials, use --set."
            )
        if key in ("training.folds", "training.track"):
            raise ConfigError(f"--search {key}: it does not change the model; remove it.")


def starting_variants(config: ExperimentConfig, space: SearchSpace) -> Iterator[ExperimentConfig]:
    """Yield the config with the first value of all keys, and each other one of STARTING_KEYS.

    The values of a range are its ends.
    """
    first = {one.key: one.ends[0] for one in space}
    yield _changed(config, first, origin="--search")
    for one in space:
        if one.key in STARTING_KEYS:
            for value in one.ends[1:]:
                yield _changed(config, {**first, one.key: value}, origin="--search")


def trial_config(
    config: ExperimentConfig, space: SearchSpace, params: Mapping[str, Any]
) -> ExperimentConfig:
    """Return the config of a trial.

    Args:
        params: what Optuna has drawn for each key.

    Raises ConfigError if the values are invalid together.
    """
    values = {one.key: one.value(params[one.key]) for one in space}
    return _changed(config, values, origin="this trial")


def count_combinations(space: SearchSpace) -> float:
    """Return how many different trials there are; infinity with a range of other than integers."""
    return math.prod(math.inf if one.params is None else len(one.params) for one in space)


def all_combinations(space: SearchSpace) -> Iterator[dict[str, Any]]:
    """Yield what Optuna can draw, of a space with finitely many combinations."""
    keys = [one.key for one in space]
    for params in product(*(one.params or () for one in space)):
        yield dict(zip(keys, params, strict=True))


def _changed(
    config: ExperimentConfig, values: Mapping[str, Any], *, origin: str
) -> ExperimentConfig:
    # Only what was given: defaults may depend on what a trial changes.
    changed = config.model_dump(mode="json", exclude_unset=True)
    for key, value in values.items():
        *sections, name = key.split(".")
        table = changed
        for section in sections:
            inner = table.get(section)
            table[section] = inner if isinstance(inner, dict) else {}
            table = table[section]
        table[name] = value
    return validate_config(changed, origin=origin)
