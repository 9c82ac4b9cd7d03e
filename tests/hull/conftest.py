"""How hard the hull is tried: a bounded number of examples in ``make test``, ten times as many where slow tests run."""

import hull_oracle


def pytest_configure(config):
    hull_oracle.effort = 1 if config.option.markexpr == "not slow" else 10
