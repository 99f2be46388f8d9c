"""Validating plain values as a config, with errors that say what to change."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from emodetect.config.sections import DataConfig, ExperimentConfig, Section
from emodetect.errors import ConfigError

# Pydantic's words, as regular expressions, and shorter ones.
PHRASES = {
    r"greater than or equal to (\S+)": r"\1 or more",
    r"less than or equal to (\S+)": r"\1 or less",
    r"greater than ": "more than ",
    r"a valid (integer)": r"an \1",
    r"a valid (number|boolean|string)": r"a \1",
}


def validate_config(values: Mapping[str, Any], *, origin: str) -> ExperimentConfig:
    """Validate nested plain values (of a TOML or JSON file) as an experiment's config."""
    return _validate(ExperimentConfig, _with_present_keys(values), origin)


def _with_present_keys(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replace training.tensorboard, which models and run folders of earlier versions contain."""
    training = values.get("training")
    if not isinstance(training, Mapping) or not isinstance(training.get("tensorboard"), bool):
        return values
    kept = {key: value for key, value in training.items() if key != "tensorboard"}
    tracked = {"track": ["tensorboard"]} if training["tensorboard"] else {}
    return {**values, "training": {**tracked, **kept}}


def validate_data(values: Mapping[str, Any], *, origin: str) -> DataConfig:
    """Validate plain values as the data section of a config."""
    return _validate(DataConfig, values, origin)


def _validate(section: type[Section], values: Mapping[str, Any], origin: str) -> Section:
    try:
        text, flat = json.dumps(values, default=str), list(flatten(values))
    except (RecursionError, ValueError):  # ValueError: of thousands of digits, or in itself
        raise ConfigError(f"{origin}: a value is too large or nested too deeply.") from None
    for key, value in flat:
        if isinstance(value, date | time):
            raise ConfigError(
                f"{origin}: {key}: expected text, got the date {value}; put it in quotes."
            )
        if not _is_unicode(value):
            raise ConfigError(f"{origin}: {key}: expected text in UTF-8, got {value!r}; rename it.")
    try:
        # As JSON, because only there pydantic's strict mode accepts arrays as tuples and text as
        # paths; numbers written as text remain errors.
        return section.model_validate_json(text)
    except ValidationError as error:
        # A default that depends on a key with an error is no error of its own.
        details = [one for one in error.errors() if one["type"] != "default_factory_not_called"]
        lines = [_explain(detail) for detail in details]
        joined = "\n  ".join(lines)
        raise ConfigError(f"{origin}: invalid config:\n  {joined}") from None


def _is_unicode(value: object) -> bool:
    try:
        json.dumps(value, default=str, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # bytes of a command line that are not text become lone surrogates
        return False
    return True


def _explain(detail: Any) -> str:
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location) or "config"
    got = json.dumps(detail["input"])
    match detail["type"]:
        case "extra_forbidden":
            section = _section_at(location[:-1])
            known = list(section.model_fields) if section else []
            near = difflib.get_close_matches(location[-1], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
            return f"{key}: unknown key; {hint}"
        case "tuple_type" | "list_type":
            return f"{key}: expected an array such as {_as_array(detail['input'])}, got {got}"
        case "missing":
            return f"{key}: missing; this key has no default"
        case "value_error":
            # The message of a whole section already names the invalid key.
            message = str(detail["ctx"]["error"])
            if _section_at(location) is None:
                return f"{key}: {message}" + ("" if ", got " in message else f", got {got}")
            return ".".join([*location, message])
        case _:
            return f"{key}: {_in_words(detail['msg'])}, got {got}"


def _as_array(value: object) -> str:
    """Return what was meant by a value that should have been an array: x,y is ["x", "y"]."""
    if not isinstance(value, str):
        return json.dumps([value])
    parts = [part.strip(" []'\"") for part in value.split(",")]
    return json.dumps([int(part) for part in parts] if all(map(str.isdecimal, parts)) else parts)


def _in_words(message: str) -> str:
    message = message.replace("Input should be", "expected")
    for pydantic, ours in PHRASES.items():
        message = re.sub(pydantic, ours, message)
    return message


def _section_at(location: Sequence[str]) -> type[BaseModel] | None:
    section: type[BaseModel] = ExperimentConfig
    for part in location:
        if part not in section.model_fields:  # of a section that was validated on its own
            return None
        annotation = section.model_fields[part].annotation
        if not isinstance(annotation, type) or not issubclass(annotation, BaseModel):
            return None
        section = annotation
    return section


def description(key: str) -> str:
    """Return what a dotted key is for, or "" if that is not written down."""
    *sections, name = key.split(".")
    section = _section_at(sections)
    field = section.model_fields.get(name) if section else None
    return field.description or "" if field else ""


def is_section(parts: Sequence[str]) -> bool:
    """Return whether a key, in its parts, is a section of the config and not a value."""
    return _section_at(parts) is not None


def number_type(key: str) -> type[int] | type[float] | None:
    """Return the type of a dotted key that takes numbers; None for other and unknown keys."""
    *sections, name = key.split(".")
    section = _section_at(sections)
    if section is None or name not in section.model_fields:
        return None
    types = list(_alternatives(section.model_fields[name].annotation))
    return float if float in types else int if int in types else None


def _alternatives(annotation: Any) -> Iterable[Any]:
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _alternatives(one)
    else:
        yield annotation


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield the dotted keys of nested values, such as "training.epochs", and their values."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
