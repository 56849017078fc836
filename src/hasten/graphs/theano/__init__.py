"""Graphs of Theano and its heirs (Theano-PyMC, Aesara, PyTensor) as modules of PyTorch.

**Source:** Theano 1.0.5, Theano-PyMC 1.1.2, Aesara 2.9.4, PyTensor 3.0. ``dump.py`` walks a graph
where its framework is installed, and is run by any Python from 3.6 on; ``build.py`` makes the
module from what it wrote.
"""
