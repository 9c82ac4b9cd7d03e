"""gunicorn's own records in the platform's format: ``--logger-class philately.service.web_log.WebLog``."""

import os
from typing import Any

from django.conf import settings
from gunicorn.glogging import Logger

from philately.logs import FORMATS

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "philately.settings")  # gunicorn's first process loads no application


class WebLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(FORMATS[settings.LOG_FORMAT]())
