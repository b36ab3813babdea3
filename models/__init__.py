"""Models: the spec, the bundle on disk, features (numpy) and networks (torch)."""
