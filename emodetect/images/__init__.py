"""From the bytes of an image file to pixels, and from pixels to what a model takes."""
