"""Less at once where memory runs out, more again when it may be had, and no endless trying."""

import math
from itertools import pairwise

import pytest

from validation.batch_limit import FIRST_PATIENCE, GROWTH, LONGEST_PATIENCE, BatchLimit

OWN = 4_000.0


class Device:
    """With memory for so many neighbours; full batches are tried on it. failures: steps in which one did not fit."""

    def __init__(self, fitting=math.inf):
        self.limit, self.fitting = BatchLimit(), fitting
        self.steps, self.failures = 0, []

    @property
    def pairs(self):
        return min(self.limit.pairs, OWN)

    def step(self, count=1, *, is_full=True):
        for _ in range(count):
            pairs = [self.pairs]
            while pairs:
                one = pairs.pop()
                if one > self.fitting:
                    self.limit.too_many(one)
                    pairs += [one / 2, one / 2]
                    self.failures.append(self.steps)
            self.limit.after_step(is_full=is_full, own_pairs=OWN)
            self.steps += 1


def test_what_did_not_fit_is_halved_until_it_does():
    device = Device(fitting=1_100)

    device.step()

    assert device.pairs == OWN / 4


def test_when_the_memory_is_free_again_the_whole_limit_comes_back_step_by_step():
    device = Device(fitting=900)
    device.step()
    device.fitting = math.inf
    seen = []
    for _ in range(600):
        device.step()
        seen.append(device.pairs)

    assert seen == sorted(seen)
    assert all(later <= earlier * GROWTH + 1e-9 for earlier, later in pairwise(seen))
    assert seen[-1] == OWN
    assert len(set(seen)) > 5


def test_at_a_limit_that_stays_tries_become_rare_and_the_level_below_is_kept():
    device = Device(fitting=2_500)

    device.step(20_000)

    pauses = [later - earlier for earlier, later in pairwise(device.failures)]
    assert pauses[1:] == sorted(pauses[1:])
    assert pauses[-1] > LONGEST_PATIENCE
    assert len(device.failures) < 30
    assert device.fitting / GROWTH < device.pairs <= device.fitting * GROWTH


def test_after_much_trouble_patience_comes_back_with_the_memory():
    device = Device(fitting=2_500)
    device.step(20_000)
    device.fitting = math.inf
    device.step(4 * LONGEST_PATIENCE)
    assert device.pairs == OWN

    device.fitting = 2_500
    device.step()
    device.fitting = math.inf
    device.step(10 * FIRST_PATIENCE)

    assert device.pairs == OWN


def test_batches_that_are_not_full_prove_nothing():
    device = Device(fitting=2_500)
    device.step()
    small = device.pairs

    device.step(10_000, is_full=False)

    assert device.pairs == small


@pytest.mark.parametrize("fitting", [1.0, 77.0, 800.0, 2_000.0, 3_999.0, 4_000.0])
def test_whatever_fits_is_found_and_nearly_no_step_is_lost(fitting):
    device = Device(fitting)

    device.step(5_000)

    assert device.pairs <= fitting * GROWTH
    assert device.pairs > fitting / GROWTH / 1.01
    assert len(set(device.failures)) < 20
