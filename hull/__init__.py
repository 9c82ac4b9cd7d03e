"""Compositions and energies: the convex hull of formation energies, kept current as entries arrive.

Free of Django, Celery and any potential: everything here takes values and returns values.
"""
