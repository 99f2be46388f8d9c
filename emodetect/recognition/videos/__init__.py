"""Videos and cameras: capture, analyse, show, record and log."""
