"""Reading a config from a TOML file or preset, and writing it."""

from __future__ import annotations

import difflib
import logging
import os
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomli_w

from emodetect.config.sections import SOURCES_OF_KEY, ExperimentConfig
from emodetect.config.validation import flatten, validate_config
from emodetect.errors import ConfigError

logger = logging.getLogger(__name__)


def preset_names() -> list[str]:
    """Return the names of the presets in the package."""
    return sorted(
        path.name.removesuffix(".toml")
        for path in _presets().iterdir()
        if path.name.endswith(".toml")
    )


def preset_text(name: str, *, expected: str = "a preset") -> str:
    """Return the TOML text of a preset. Raises ConfigError for an unknown name.

    Args:
        expected: what the error says was expected, besides the names of the presets.
    """
    names = preset_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"expected {expected} ({', '.join(names)}), got {name!r}.{hint}")
    return str((_presets() / f"{name}.toml").read_text(encoding="utf-8"))


def load_config(
    name_or_path: str,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    data: str | None = None,
) -> ExperimentConfig:
    """Read a config file or preset, apply `data` and overrides, and validate it.

    Raises ConfigError, which says the key, what was expected and what was found.

    Args:
        overrides: what they set wins over the config and over `data`. Of text such as
            "training.epochs=3", the value is parsed as TOML (`3`, `true`, `["happy", "sad"]`) if
            possible, otherwise taken as text. Of a mapping, a key is "training__epochs" or
            "training.epochs"; a value can be a mapping too, which changes only its own keys.
        data: SOURCE:PATH to use instead of data.source and data.path. Keys of the data section that
            the new source does not take are left out, and logged.
    """
    path = Path(name_or_path)
    # The name of a preset always means the preset, whatever is in the current folder.
    if name_or_path not in preset_names() and (
        path.suffix == ".toml" or os.path.isfile(path)  # noqa: PTH113  Path.is_file may raise
    ):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise ConfigError(f"{path}: cannot read the config: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: expected TOML text in UTF-8, got other bytes.") from None
    else:
        text = preset_text(name_or_path, expected="a config file or a preset")
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{name_or_path}: not valid TOML: {error}.") from None
    changes = []
    if data is not None:
        _replace_data(values, data, origin=name_or_path)
        changes.append("--data")
    if overrides:
        changes.append("overrides" if isinstance(overrides, Mapping) else "--set")
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            _apply_value(values, key.replace("__", ".").split("."), value)
    else:
        for override in overrides:
            _apply_override(values, override)
    return validate_config(values, origin=" with ".join([name_or_path, *changes]))


def config_toml(config: ExperimentConfig) -> str:
    """Return the resolved config as TOML text that `load_config` reads back unchanged."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def changed_keys(old: ExperimentConfig, new: ExperimentConfig) -> list[str]:
    """Return the dotted keys whose values differ between two configs."""
    before = dict(flatten(old.model_dump(mode="json")))
    after = dict(flatten(new.model_dump(mode="json")))
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def _presets() -> Any:
    packaged = files("emodetect") / "configs"
    # An editable install has no packaged copy; its presets are next to the package.
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs"


def _replace_data(values: dict[str, Any], data: str, *, origin: str) -> None:
    section = values.setdefault("data", {})
    if not isinstance(section, dict):
        return  # validation says so
    source, _, path = data.partition(":")
    of_others = [
        key
        for key, sources in {**SOURCES_OF_KEY, "synthetic": ("synthetic",)}.items()
        if key in section and source not in sources
    ]
    for key in of_others:
        del section[key]
    if of_others:
        names = ", ".join(f"data.{key}" for key in of_others)
        logger.warning("%s: left out %s, which the source %s does not take", origin, names, source)
    section["source"] = source
    section.pop("path", None)
    if path:
        section["path"] = path


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, separator, raw = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not separator or not all(parts):
        raise ConfigError(
            f"--set: expected key=value, got {override!r}. Example: --set training.epochs=3"
        )
    try:
        parsed = tomllib.loads(f"value = {raw}")
    except tomllib.TOMLDecodeError:
        parsed = {"value": raw.strip()}
    if len(parsed) > 1:
        raise ConfigError(f"--set: expected one key=value, got several lines: {override!r}.")
    _set(values, parts, parsed["value"], given=f"--set {override}")


def _apply_value(values: dict[str, Any], parts: list[str], value: Any) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _apply_value(values, [*parts, key], inner)
        return
    plain = str(value) if isinstance(value, Path) else value
    _set(values, parts, plain, given=".".join(parts))


def _set(values: dict[str, Any], parts: Sequence[str], value: Any, *, given: str) -> None:
    table = values
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{given}: expected {part!r} to be a table, but it is a value.")
    table[parts[-1]] = value
