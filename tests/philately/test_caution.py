"""After a death fewer and fewer are taken at a time, down to the one to blame, and soon as many as before."""

import pytest

from philately.domain.caution import Caution, narrowed


class TestNarrowing:
    def test_fewer_and_fewer_down_to_one(self):
        assert [narrowed(1000, level) for level in range(4)] == [1000, 31, 1, 1]
        assert [narrowed(5000, level) for level in range(4)] == [5000, 156, 4, 1]
        assert narrowed(1, 0) == 1

    @pytest.mark.parametrize("place", [0, 1, 499, 3000, 4999])
    def test_the_one_to_blame_is_found_and_all_others_pass(self, place):
        queue, blamed, tried = list(range(5000)), [], 0
        caution = Caution(5000)
        while queue:
            some = queue[: caution.size]
            tried += 1
            if place in some:
                if caution.alone:
                    blamed.append(queue.pop(0))
                caution.fell()
                continue
            del queue[: len(some)]
            caution.passed(len(some))

        assert blamed == [place]
        assert tried < 300

    def test_after_a_death_that_nothing_is_to_blame_for_it_is_soon_as_before(self):
        caution = Caution(5000, 1)
        assert caution.size == 156
        for _ in range(33):
            caution.passed(caution.size)
        assert (caution.size, caution.alone) == (5000, False)
