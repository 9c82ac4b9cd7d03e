"""Batches whose stable finds an auditor is asked about, as far as a test wants them."""

from ase.build import bulk
from driving import cif, ordered_alloy, place_all, read_all, relax_all, submit

from philately.domain.relax import relax_some
from philately.domain.seasons import join

TEXTS = {
    "Cu3Au.cif": cif(ordered_alloy("Cu", "Au", lattice_ang=3.7)),
    "Cu-wide.cif": cif(bulk("Cu", a=3.7)),
    "CuAu.cif": cif(ordered_alloy("Cu", "Au", lattice_ang=3.8, n_minority=2)),
}


def submit_relaxed(season, user, texts=TEXTS):
    """Relaxed by the judge, nothing placed."""
    submit(join(season, user), texts)
    read_all(season)
    relax_all(season)


def hear_all(season):
    """All opinions that are asked for."""
    for scale in season.official_run.auditors.values_list("release__scale", flat=True):
        while relax_some(scale):
            pass


def judge_all(season, user, texts=TEXTS):
    """All three phases, its auditors heard."""
    submit_relaxed(season, user, texts)
    place_all(season)
    hear_all(season)
    place_all(season)
