"""Real models of other frameworks, and the frameworks themselves to run them."""
