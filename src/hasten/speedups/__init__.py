"""What makes training faster: one file is one idea, with its card and its gain measured here."""
