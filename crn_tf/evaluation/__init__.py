"""How good pictures are: segmentation scores, distances of distributions, comparisons picture by picture.

May import what stands below it (saved models, networks, data), not training.
"""
