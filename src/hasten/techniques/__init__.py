"""Techniques: compression ideas that change a graph or its weights, one file each."""
