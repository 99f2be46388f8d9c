"""A module for each layout that labelled images come in, and the registry of all."""
