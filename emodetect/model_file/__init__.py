"""The .keras model file: reading it safely, metadata, model cards, temperature, shipped models."""
