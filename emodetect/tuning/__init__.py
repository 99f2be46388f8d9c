"""Search for the best config: many trainings that processes and machines can share."""
