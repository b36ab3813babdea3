"""The two stages of Cosmo."""
