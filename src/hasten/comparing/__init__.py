"""Frameworks compared by measurement: one network, the same first weights, the same batches."""
