"""Cuts events into windows."""
