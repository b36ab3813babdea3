"""What a model is: its spec, its bundle on disk, its features (numpy) and its networks (torch)."""
