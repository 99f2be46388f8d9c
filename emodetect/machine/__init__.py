"""What concerns the computer, not faces: files, folders, threads, progress, TensorFlow set-up."""
