"""Data sets. One small loader reads each into ``training.windows.Windows``."""
