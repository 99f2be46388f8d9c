"""Finding what is wrong with labelled images: leaks, duplicates, doubtful labels, bad pictures."""
