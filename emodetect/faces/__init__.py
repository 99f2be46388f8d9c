"""Where the faces are: boxes, crops framed from them, and following faces from frame to frame."""
