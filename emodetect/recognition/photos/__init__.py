"""Still images: finding the files, analysing them, writing the results."""
