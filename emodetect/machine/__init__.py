"""The computer: files, folders, locks, threads, signals, progress bars, TensorFlow's devices."""
