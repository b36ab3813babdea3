"""The methods that Cosmo is compared with. Each file has one function that makes a ``training.methods.Fit``."""
