"""Labelled images ready to train on: data sets, splits, crops, cache, batches, augmentation."""
