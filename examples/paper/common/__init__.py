"""What the five experiments share."""
