"""The functions for Python users: what the commands of the same names do, with plain arguments."""
