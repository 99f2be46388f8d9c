"""Checks of labelled images: leaks, duplicates, suspicious labels, bad images."""
