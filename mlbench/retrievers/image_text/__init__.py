"""Models that encode images and texts, and those that match an image with a text."""
