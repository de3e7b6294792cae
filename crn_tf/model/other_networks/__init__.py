"""The networks of the paper's other methods, each under its paper's terms. docs/methods.md tells them apart.

Keras alone, like the rest of `model`, whose layers they use.
"""
