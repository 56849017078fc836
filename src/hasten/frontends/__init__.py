"""Front ends: one file reads one source framework's models."""
