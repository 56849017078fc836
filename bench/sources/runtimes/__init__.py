"""One file for each way to run a model at home.

``prepare(files, samples)`` gives a function of arrays by name, batch 1, to a list of outputs.
"""
