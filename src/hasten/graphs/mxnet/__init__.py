"""MXNet's operators as functions of PyTorch, and its files read without MXNet.

**Source:** Apache MXNet 1.9.1, the last release; ``-symbol.json`` and ``.params`` of older ones.
"""
