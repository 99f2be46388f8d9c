"""Using a model: from pictures to faces with emotions, and how they are drawn and written."""
