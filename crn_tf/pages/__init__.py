"""What browsers see: the static gallery, the study's server, plan and report, and what every local page needs.

Imports what stands below it, no TensorFlow. The pages' own files lie in `static/`: plain HTML, CSS and JavaScript.
"""
