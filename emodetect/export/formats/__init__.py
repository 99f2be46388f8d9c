"""A module for each format that a model is exported to, and the registry of all."""
