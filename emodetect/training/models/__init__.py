"""Keras models: a module for each network, the registry, and reading, importing and converting."""

from emodetect.training.models.registry import build_model as build_model
