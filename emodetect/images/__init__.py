"""Find and read image files, and turn images into model inputs."""
