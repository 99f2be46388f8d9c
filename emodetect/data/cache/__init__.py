"""What is decoded once and kept on disk: the crops of data sets, and drawn faces."""
