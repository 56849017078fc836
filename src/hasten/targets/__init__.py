"""What the machine is: one file per kind of processor."""
