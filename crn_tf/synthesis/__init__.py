"""Synthesis from layouts in files: what is asked for, which layouts, and images written for them.

Imports `training` and what stands below it.
"""
