"""Modules made from the operator graphs of other frameworks, one folder per set of operators.

Everything in here is PyTorch: these files import it at their top, and are imported where a graph is
built.
"""
