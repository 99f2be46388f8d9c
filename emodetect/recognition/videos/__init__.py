"""Videos and cameras: capturing, analysing, showing, recording, logging."""
