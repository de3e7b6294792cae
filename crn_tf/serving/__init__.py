"""Exported models: a TensorFlow graph from requests to pictures, with warm-up requests and a model card.

Imports `training` (a card tells a run's settings), `saved`, `model`, `data` and the ground.
"""
