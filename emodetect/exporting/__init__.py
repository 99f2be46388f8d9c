"""Export models for other programs and devices, and compare each file with the original."""
