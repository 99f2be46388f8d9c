"""Reading a config from a TOML file or preset, and writing it."""

from __future__ import annotations

import difflib
import json
import logging
import os
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import chain
from pathlib import Path
from reprlib import repr as brief
from textwrap import wrap
from typing import Any

import tomli_w

from emodetect.config.sections import SOURCES_OF_KEY, ExperimentConfig
from emodetect.config.validation import description, flatten, is_section, validate_config
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
    label_names: Mapping[str, str] | None = None,
    own_labels: bool = False,
) -> ExperimentConfig:
    """Read a config file or preset, apply `data` and overrides, and validate it.

    A table such as data.label_names is added to what is there. Raises ConfigError, which says the
    key, what was expected and what was found.

    Args:
        overrides: what they set wins over the config and over all other arguments. Of text such as
            "training.epochs=3", the value is parsed as TOML (`3`, `true`, `["happy", "sad"]`) if
            possible, otherwise taken as text; of two values for a key, the last counts, and is
            logged. Of a mapping, a key is "training__epochs" or "training.epochs"; a value can be
            a mapping too, which changes only its own keys.
        data: SOURCE:PATH to use instead of data.source and data.path. Keys of the data section that
            the new source does not take are left out, and logged.
        label_names: emotions of labels by other names, in addition to data.label_names.
        own_labels: sets data.labels to "own".
    """
    path = Path(name_or_path)
    # The name of a preset always means the preset, whatever is in the current folder. Anything
    # that can be read is a config, such as the pipe of `--config <(command)`.
    there = os.path.exists(path) and not os.path.isdir(path)
    if name_or_path not in preset_names() and (path.suffix == ".toml" or there):
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
    except (ValueError, RecursionError) as error:  # ValueError: of thousands of digits
        raise ConfigError(f"{name_or_path}: not valid TOML: {error}{_toml_hint(error)}.") from None
    changes = []
    if data is not None:
        _replace_data(values, data, origin=name_or_path)
        changes.append("--data")
    if label_names:
        changes.append("--label-name")
        _set(values, ["data", "label_names"], dict(label_names), "--label-name")
    if own_labels:
        changes.append("--own-labels")
        _set(values, ["data", "labels"], "own", "--own-labels")
    if overrides:
        changes.append("overrides" if isinstance(overrides, Mapping) else "--set")
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            _apply_value(values, str(key).replace("__", ".").split("."), value)
    else:
        _apply_overrides(values, overrides)
    origin = name_or_path + (f" with {' and '.join(changes)}" if changes else "")
    return validate_config(values, origin=origin)


def config_toml(config: ExperimentConfig) -> str:
    """Return the resolved config as TOML text that `load_config` reads back unchanged.

    TOML has no null, so keys without a value follow as comments that say what they are for.
    """
    text = tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
    unset = [key for key, value in flatten(config.model_dump(mode="json")) if value is None]
    lines = [f"{key}: {meaning}" if (meaning := description(key)) else key for key in sorted(unset)]
    wrapped = [
        wrap(line, 96, initial_indent="#   ", subsequent_indent="#     ", break_on_hyphens=False)
        for line in lines
    ]
    return "\n".join([text, "# Keys without a value:", *chain.from_iterable(wrapped), ""])


def changed_keys(old: ExperimentConfig, new: ExperimentConfig) -> list[str]:
    """Return the dotted keys whose values differ between two configs."""
    before = dict(flatten(old.model_dump(mode="json")))
    after = dict(flatten(new.model_dump(mode="json")))
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def _presets() -> Any:
    packaged = files("emodetect") / "configs"
    # An editable install has no packaged copy; its presets are next to the package.
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs"


def _toml_hint(error: Exception) -> str:
    # A path of Windows in double quotes: in "C:\Users", \U begins the number of a character.
    if str(error).startswith(("Invalid hex value", "Unescaped")):
        return "; put text with backslashes in single quotes: 'C:\\Users'"
    return ""


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


def _apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> None:
    given: dict[str, Any] = {}
    for override in overrides:
        parts, value = _parsed(override)
        for key, leaf in flatten({".".join(parts): value}):
            if key in given and given[key] != leaf:
                logger.warning("--set %s: given twice; %s counts", key, json.dumps(leaf))
            given[key] = leaf
        _set(values, parts, value, f"--set {override}")


def _parsed(override: str) -> tuple[list[str], Any]:
    """Return the parts of the key and the value of `a.b=value`."""
    key, separator, raw = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not separator or not all(parts):
        raise ConfigError(
            f"--set: expected key=value, got {override!r}. Example: --set training.epochs=3"
        )
    value = toml_or_text(raw)
    if isinstance(value, str) and value == raw.strip() and value[:1] + value[-1:] in ("[]", "{}"):
        raise ConfigError(
            f"--set: expected a TOML value, got {brief(raw)}. A shell takes the quotes away "
            "unless there are others around the whole, as in "
            """--set "data.classes=['happy', 'sad']"."""
        )
    return parts, value


def toml_or_text(text: str) -> Any:
    """Return the value that text is in TOML, or if it is none, the text itself."""
    try:
        values = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text.strip()
    return values["value"] if len(values) == 1 else text.strip()


def _apply_value(values: dict[str, Any], parts: list[str], value: Any) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _apply_value(values, [*parts, str(key)], inner)
        return
    plain = str(value) if isinstance(value, Path) else value
    _set(values, parts, plain, ".".join(parts))


def _set(values: dict[str, Any], parts: Sequence[str], value: Any, option: str) -> None:
    """Set a key; a table that is the value of a key, not a section, is added to what is there."""
    table = values
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{option}: expected {part!r} to be a table, but it is a value.")
    old = table.get(parts[-1])
    if isinstance(old, dict) and isinstance(value, dict) and value and not is_section(parts):
        value = {**old, **value}
    table[parts[-1]] = value
