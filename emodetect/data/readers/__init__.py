"""Readers of labelled images: a module for each layout, and their registry."""
