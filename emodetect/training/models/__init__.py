"""The networks: a module for each, and the registry that builds one by its name."""

from emodetect.training.models.registry import build_model as build_model
