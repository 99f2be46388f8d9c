"""Labelled images: readers, writers, splits, crops, cache, augmentation and batches."""
