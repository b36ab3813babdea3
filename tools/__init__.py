"""Scripts for people: they train bundles, measure and compare."""
