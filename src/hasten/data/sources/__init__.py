"""Where samples come from: one file is one source, found by its name."""
