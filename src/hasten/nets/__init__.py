"""The networks of the recipes: plain PyTorch modules, made for a shape and a number of outputs.

Each file holds one family. Its function takes the shape of one sample and the number of outputs,
then the network's own options, and gives a module with PyTorch's initial weights.
"""
