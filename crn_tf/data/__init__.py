"""Files to arrays, and arrays to pictures: photographs, layouts, data sets, batches of pairs.

Imports only the ground: what stands beside these packages. TensorFlow is in `pipeline` alone.
"""
