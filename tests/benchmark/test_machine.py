"""What a benchmark says of the machine and of its own process."""

import subprocess
import sys

TAKES = "import numpy; held = numpy.ones(200 << 20, dtype=numpy.uint8); "
TELLS = "from benchmark.machine import peak_rss_mb; print(peak_rss_mb())"


def _peak(program: str) -> float:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_peak_memory_is_that_of_the_process_itself_and_not_of_the_one_that_started_it():
    started = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {TELLS!r}], check=True)"

    alone, large, from_large = _peak(TELLS), _peak(TAKES + TELLS), _peak(TAKES + started)

    assert large > alone + 150
    assert from_large < alone + 50
