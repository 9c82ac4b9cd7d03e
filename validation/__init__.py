"""Structures: reading, checking, relaxing, matching and placing them.

Free of Django and Celery. Importing it loads no potential; only ``validation.potentials`` does, when asked to.
"""
