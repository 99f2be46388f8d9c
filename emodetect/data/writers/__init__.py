"""Writing labelled images to disk: another layout, face crops, a manifest of splits."""
