"""Read image files, and turn images into model inputs."""
