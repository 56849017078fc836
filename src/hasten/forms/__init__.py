"""Forms: how a model is held in memory and kept on disk, one file each."""
