"""Converters: edges between two forms, one file each."""
