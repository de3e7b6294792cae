"""Training: flags and settings, the training step, devices and workers, and runs from their opening to their end.

Imports `saved`, `model`, `data` and the ground.
"""
