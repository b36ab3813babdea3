"""Where events and predictions go."""
