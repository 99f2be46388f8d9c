"""What works on this machine, what is missing, and the command that mends it."""
