"""Find faces: detectors, boxes, crops, and tracking from frame to frame."""
