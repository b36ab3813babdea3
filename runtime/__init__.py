"""Time: ring buffers, alignment, windows, engines, the recognition loop, its sinks and command line."""
