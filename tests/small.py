"""The config that the tests train with: in seconds, with nothing to download."""

from __future__ import annotations

from pathlib import Path

SMALL = str(Path(__file__).with_name("small.toml"))

# Overrides for a network that trains soonest, where it does not matter which.
LENET = ("model.name=lenet5", "model.width=1.0")
