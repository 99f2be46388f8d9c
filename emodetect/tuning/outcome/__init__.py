"""The outcome of a study: the results of its trials, the best config, tables and plots."""
