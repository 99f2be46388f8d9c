"""Measuring a model on labelled images: predictions, figures, comparisons, heat maps."""
