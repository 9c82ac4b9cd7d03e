"""The potentials, one a module: the only ones of the project that import torch, matgl, chgnet or torch_sim.

``validation.potentials`` loads them by name; nothing here is imported before it is asked for.
"""
