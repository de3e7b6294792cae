"""What lies on disk: checkpoints, run folders, weights files, and the 2017 release's models.

Imports `model`, `data` and the ground.
"""
