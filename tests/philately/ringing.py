"""Run as a process of its own, by test_broker.py: rings at the broker of its environment, or with the argument
``declare`` only says which queues there are. Prints JSON."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "philately.settings")

import django

django.setup()


from philately.broker import app, declare_queues, queue_name, ring, ring_up_to  # noqa: E402 - needs the set-up above


def untaken() -> list[int]:
    """Keys of the bells that lie there, sorted; they are taken."""
    keys = []
    with app.connection_for_read() as connection:
        while message := connection.default_channel.basic_get(queue_name("relax"), no_ack=True):
            keys.append(json.loads(message.body)[0][0])
    return sorted(keys)


def ringing() -> dict[str, object]:
    try:
        ring_up_to(2, "relax", 1, queue="relax")
        ring_up_to(2, "relax", 2, queue="relax")
        ring_up_to(3, "relax", 3, queue="relax")
        ring_up_to(3, "relax", 4, queue="relax", at_least=1)
        filled = untaken()
        for _ in range(2):
            ring("relax", 5, queue="relax")
        ring_up_to(3, "relax", 6, queue="relax")
        return {"filled": filled, "others": untaken()}
    finally:
        with app.connection_for_write() as connection:
            for queue in app.conf.task_queues:
                connection.default_channel.queue_delete(queue.name)


if __name__ == "__main__":
    if sys.argv[1:] == ["declare"]:
        declare_queues()
    else:
        print(json.dumps(ringing()))
