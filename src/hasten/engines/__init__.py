"""Engines: runtimes that execute a model, one file each."""
