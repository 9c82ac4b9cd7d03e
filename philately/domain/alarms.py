"""A limit in seconds on what the main thread does: the engine's, by the name that workers know."""

from validation.alarms import Handler, alarm

__all__ = ["Handler", "alarm"]
