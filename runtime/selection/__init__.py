"""Lets sensors sleep while the others are sure."""
