"""What relaxing costs: atom-steps of what was done and of what is to come, and the time that they take."""

import pytest

from validation.effort import DEFAULT_ATOMS, DEFAULT_STEPS, Effort, Waiting, rough, usual


def done(
    n: int, *, n_atoms: int = 4, steps: int = 50, seconds: float | None = 2.0, every_s: float = 2.0
) -> list[Effort]:
    """So many alike, the newest first."""
    return [Effort(n_atoms, steps, seconds, ended_at_s=1000.0 - every_s * number) for number in range(n)]


class TestWhatIsUsual:
    def test_without_any_relaxation_the_stated_defaults_hold_and_there_is_no_pace(self):
        assert (usual([]).n_atoms, usual([]).steps) == (DEFAULT_ATOMS, DEFAULT_STEPS)
        assert usual([]).s_per_atom_step is None

    def test_large_structures_weigh_more_in_the_steps_because_they_cost_more(self):
        few_steps_small, many_steps_large = Effort(1, 10, 1.0, 0.0), Effort(9, 110, 99.0, 0.0)

        found = usual([few_steps_small, many_steps_large])

        assert found.n_atoms == pytest.approx(5)
        assert found.steps == pytest.approx((1 * 10 + 9 * 110) / 10)

    def test_the_pace_is_the_clock_of_one_worker_over_its_atom_steps(self):
        assert usual(done(10)).s_per_atom_step == pytest.approx(2.0 / (4 * 50))

    def test_a_handful_is_needed_before_there_is_a_pace(self):
        assert usual(done(4)).s_per_atom_step is None
        assert usual(done(5)).s_per_atom_step is not None

    def test_what_was_relaxed_elsewhere_tells_of_steps_and_not_of_this_machine(self):
        found = usual(done(10, seconds=None))

        assert found.steps == pytest.approx(50)
        assert found.s_per_atom_step is None

    def test_relaxations_that_took_no_step_give_no_pace(self):
        assert usual(done(10, steps=0)).s_per_atom_step is None


class TestWorkersLately:
    def test_are_as_many_as_were_busy_on_average(self):
        assert usual(done(200, seconds=4.1, every_s=1.0)).n_workers == 4

    def test_is_one_where_work_came_in_drops(self):
        assert usual(done(20, seconds=1.0, every_s=60.0)).n_workers == 1

    def test_is_one_where_too_short_a_time_is_known(self):
        assert usual(done(10, seconds=8.0, every_s=1.0)).n_workers == 1

    def test_a_pause_ends_the_stretch_that_is_looked_at(self):
        night = 40_000.0
        today = done(100, seconds=2.0, every_s=1.0)
        yesterday = [Effort(one.n_atoms, one.steps, 9.0, one.ended_at_s - night) for one in today]

        assert usual([*today, *yesterday]).n_workers == 2


@pytest.mark.parametrize(
    ("number", "shown"), [(0, 0), (7, 7), (262, 260), (99.6, 100), (1_949_999, 1_900_000), (10**15 + 1, 10**15)]
)
def test_an_estimate_has_two_digits_that_mean_something(number, shown):
    assert rough(number) == shown


def test_more_digits_where_they_are_asked_for():
    assert rough(123_456, digits=3) == 123_000


class TestWhatIsToCome:
    def test_is_atoms_times_usual_steps(self):
        assert usual(done(10)).atom_steps(Waiting(n_structures=3, n_atoms=30)) == 30 * 50

    def test_what_was_not_read_yet_counts_with_the_usual_size(self):
        assert usual(done(10)).atom_steps(Waiting(n_structures=5, n_atoms=30, n_unread=2)) == (30 + 2 * 4) * 50
        assert usual([]).atom_steps(Waiting(n_structures=1, n_unread=1)) == DEFAULT_ATOMS * DEFAULT_STEPS

    def test_workers_share_the_time(self):
        found = usual(done(10))

        assert found.seconds_for(2000) == pytest.approx(20)
        assert found.seconds_for(2000, n_workers=4) == pytest.approx(5)

    def test_without_a_pace_there_is_no_time(self):
        assert usual([]).seconds_for(2000, n_workers=4) is None
