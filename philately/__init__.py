"""The competition's one Django project and app. The science lives in ``hull`` and ``validation``."""
