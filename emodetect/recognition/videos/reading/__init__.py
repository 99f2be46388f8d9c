"""Reading videos: cameras, files and streams, and what MP4 files say of their tracks."""
