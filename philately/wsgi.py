"""The web server's entry point."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from philately.postgres import bound

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "philately.settings")
bound(
    settings.DATABASES["default"], statement_s=settings.WEB_STATEMENT_LIMIT_S, lock_s=settings.WEB_LOCK_LIMIT_S
)  # workers may take longer
application = get_wsgi_application()
