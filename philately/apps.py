"""The project's one Django app."""

from django.apps import AppConfig

from philately.postgres import forget_after_fork


class PhilatelyConfig(AppConfig):
    name = "philately"

    def ready(self) -> None:
        forget_after_fork()
