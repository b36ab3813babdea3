"""Data sets, each read by one small loader into ``training.windows.Windows``."""
