"""Still images: find the files, analyse them, write the results."""
