"""A module for each export format, and the registry that lists them."""
