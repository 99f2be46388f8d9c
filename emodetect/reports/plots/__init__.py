"""The plots: a module for each kind, their registry and their style."""
