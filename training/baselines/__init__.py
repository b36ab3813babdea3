"""The methods that Cosmo is compared with, each a file with one function that makes a ``training.methods.Fit``."""
