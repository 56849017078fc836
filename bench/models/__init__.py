"""Plain PyTorch models for the races: the published architectures, without torchvision or timm.

A file holds one family, and each of its factories gives ``(module, example inputs)``, so that
``hasten optimize bench.models.resnet:resnet18`` works from the repository's root. Nobody trained
them: weights are seeded, BatchNorm statistics come from real images (see ``weights.py``), and
every table that shows them says "random weights".
"""
