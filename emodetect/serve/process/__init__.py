"""The process of the server: its socket, connections, memory and signals."""
