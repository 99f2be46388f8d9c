"""The HTTP server: its routes, its limits and its web page."""
