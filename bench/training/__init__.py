"""The training race: how long each trainer takes to a test accuracy that was fixed before."""
