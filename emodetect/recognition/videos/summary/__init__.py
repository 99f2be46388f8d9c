"""What a video shows as a whole: figures, their files, the timeline and faces' best moments."""
