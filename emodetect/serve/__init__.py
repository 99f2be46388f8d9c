"""The HTTP server: its addresses, its limits, its page in the browser."""
