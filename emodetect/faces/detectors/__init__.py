"""A module for each face detector, and the registry of all."""
