"""How gunicorn serves the platform: ``gunicorn philately.wsgi --config python:philately.service.web_config``.

WEB_CONCURRENCY says how many processes, 1 unless it is set; gunicorn reads it itself. With several of them their counts
of requests add up in a folder that lasts as long as they do, unless PROMETHEUS_MULTIPROC_DIR names one.
"""

import gc
import os
import shutil
import tempfile
from typing import Any

from django.urls import get_resolver

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_own_folder = None

threads = 16  # each upload under way takes one
limit_request_field_size = 32768  # a method's description is a header of its upload
logger_class = "philately.service.web_log.WebLog"

if int(os.environ.get("WEB_CONCURRENCY", "1")) > 1 and not os.environ.get(_FOLDER):
    _own_folder = os.environ[_FOLDER] = tempfile.mkdtemp(prefix="philately-metrics-")


def post_worker_init(worker: Any) -> None:
    """Whatever a page needs is imported before the first one is asked for, and the garbage collector does not look
    through it again: 300,000 objects, 0.2 s in which no thread goes on, every few seconds of work."""
    _ = get_resolver().url_patterns
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000, 10, 10)


def on_exit(server: Any) -> None:
    if _own_folder:
        shutil.rmtree(_own_folder, ignore_errors=True)
