"""How values are written into a shared cache: as JSON, so that whoever can write there cannot make us run anything."""

import json
from typing import Any


class Json:
    """A serialiser for Django's Redis cache, which would take pickles. Integers stay bare, so that Redis can add."""

    def dumps(self, value: Any) -> int | str:
        return value if type(value) is int else json.dumps(value)

    def loads(self, data: bytes) -> Any:
        return json.loads(data)
