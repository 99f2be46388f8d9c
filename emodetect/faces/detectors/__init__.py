"""Face detectors, one per module, and their registry."""
