"""The page about videos: timelines, faces at their most confident moments, and figures."""
