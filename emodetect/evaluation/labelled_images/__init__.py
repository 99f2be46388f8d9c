"""The labelled images that a model is judged by, and which of them it has seen in training."""
