"""A module for each kind of plot, the registry, and the style of all."""
