"""The page and the table of a comparison of frameworks."""
