"""The metrics of an evaluation: accuracy and F1, calibration, intervals, slices, robustness."""
