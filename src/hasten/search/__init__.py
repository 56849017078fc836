"""The search: the space of plans, child processes, the store, and the race between candidates."""
