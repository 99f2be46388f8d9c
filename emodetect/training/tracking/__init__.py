"""Experiment tracking: a module per tracker, each with its package's own Keras callback."""
