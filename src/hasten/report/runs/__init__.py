"""The page of a training run, from what its folder holds. Nothing is measured or judged here."""
