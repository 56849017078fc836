"""The parts of the road ``hasten.train``: data, batches, the loop, checkpoints, the planner."""
