"""From windows to predictions."""
