"""Plug-ins as a package outside Hasten brings them: a tiny kind of model, and engines that fail.

Everything here needs only NumPy, so that a whole search over it takes seconds.
"""
