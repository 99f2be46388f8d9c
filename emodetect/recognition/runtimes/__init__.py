"""A module for each runtime that runs a network, and the registry of all."""
