"""Races against peers. Not part of the installed package; run from the repository's root."""
