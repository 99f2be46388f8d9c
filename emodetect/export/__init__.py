"""Writing a model for other programs and devices, and comparing the file with the original."""
