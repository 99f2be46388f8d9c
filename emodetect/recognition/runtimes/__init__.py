"""Inference runtimes, one per module, and their registry."""
