"""The networks, the perceiver, and the losses, in Keras alone: they run on each of its backends.

Imports `data`, for the classes of layouts, and the ground.
"""
