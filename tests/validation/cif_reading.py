"""One block of a CIF, read by these rules or refused."""

import pytest

from validation.cif import read_block
from validation.rules import Rejected, Rules

RULES = Rules(max_atoms=300)


def rejection(text, rules=RULES):
    with pytest.raises(Rejected) as caught:
        read_block(text, rules)
    return caught.value
