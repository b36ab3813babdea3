"""Motions, and what each sensor would measure when it sees them."""
