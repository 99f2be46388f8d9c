"""Writing videos: formats, encoding with ffmpeg, sound."""
