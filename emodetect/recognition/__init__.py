"""Inference: from images to faces with emotions, and how results are drawn and written."""
