"""The page's sections as plain rows: one file per group of sections, no HTML."""
