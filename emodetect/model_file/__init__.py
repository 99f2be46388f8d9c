"""The .keras file: its members, its label order, its checks, its card; the shipped models."""
