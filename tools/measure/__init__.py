"""Measures the cost of recognition."""
