"""The config of an experiment: read from TOML, validated, and stored in frozen sections."""

from emodetect.config.loading import (
    changed_keys,
    config_toml,
    load_config,
    preset_names,
    preset_text,
    toml_or_text,
)
from emodetect.config.sections import (
    OWN_LABELS,
    SEARCHED,
    SOURCES_OF_KEY,
    AugmentationConfig,
    CleaningConfig,
    DataConfig,
    ExperimentConfig,
    Faces,
    ModelConfig,
    TrainingConfig,
)
from emodetect.config.validation import flatten, number_type, validate_config, validate_data

__all__ = [
    "OWN_LABELS",
    "SEARCHED",
    "SOURCES_OF_KEY",
    "AugmentationConfig",
    "CleaningConfig",
    "DataConfig",
    "ExperimentConfig",
    "Faces",
    "ModelConfig",
    "TrainingConfig",
    "changed_keys",
    "config_toml",
    "flatten",
    "load_config",
    "number_type",
    "preset_names",
    "preset_text",
    "toml_or_text",
    "validate_config",
    "validate_data",
]
