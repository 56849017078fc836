"""Puts this folder on the import path, for the models that several tests share."""
