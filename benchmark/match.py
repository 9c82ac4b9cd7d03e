"""Finding duplicates: speed against a million stored structures, and agreement with pymatgen's StructureMatcher.

Speeds are in CPU time of one core, of this process: the database server's share is stated beside them. Agreement is
tried on pairs that were pushed to the matcher's limit, on all cores.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmark.cifs import corpus, made
from benchmark.databases import in_a_process, on_each
from benchmark.machine import peak_rss_mb, peak_rss_of_children_mb
from benchmark.match_allotropes import crowd
from benchmark.match_groups import beside_pymatgen
from benchmark.pairs import MAX_ATOMS
from benchmark.pairs_judged import Judged, judged
from validation.cif import read_block
from validation.crystal import Crystal
from validation.reduction import primitive
from validation.rules import Rejected, Rules, Tolerances

RULES = Rules(max_atoms=200)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. compared: structures of the corpus that group_structures is given, at most."""

    stored: tuple[int, ...]
    one_formula: int
    pairs: int
    twin_pairs: int
    compared: int
    allotropes: int
    every: int  # of the corpus' CIFs


QUICK = Sizes((1_000, 4_000), 2_000, 160, 40, 60, 100, 40)
USUAL = Sizes((10_000, 1_000_000), 100_000, 20_000, 4_000, 2_000, 4_000, 1)
FULL = Sizes((10_000, 1_000_000), 100_000, 100_000, 20_000, 5_000, 4_000, 1)

_OF_A_DATABASE = (
    ("structures_per_s_per_core", "structures/s, read to confirmed, against as many stored on {} as there are"),
    ("structures_per_s", "the same in seconds of the clock, the database's share included"),
    ("server_share", "of the time of the clock, not spent here: the server's, and waiting for a core"),
    ("slowdown_1e4_to_1e6", "x: CPU time a structure against the most stored over that against the fewest"),
    ("stored", "fingerprints stored"),
    ("look_up_share", "of the CPU time, writing and looking up fingerprints"),
    ("structures_per_s_one_formula_1e5", "look-ups/s against stored rows of one formula, 500 at a time"),
    ("structures_per_s_one_formula_1e5_singly", "the same, one at a time"),
    ("rows_of_one_formula", "of those"),
    ("load_s", "s of the clock to store what is looked up"),
    ("stored_twins", "structures read of which a twin is stored"),
    ("stored_twins_found", "structures read of which a stored twin is found"),
    ("twins_found", "structures read that are twins of others read before"),
    ("peak_memory_mb", "MB, of the process that matched"),
)
MEANINGS = {
    **{
        f"{name}{suffix}": meaning.format(database)
        for suffix, database in (("", "PostgreSQL"), ("_sqlite", "SQLite"))
        for name, meaning in _OF_A_DATABASE
    },
    "slowdown_1e4_to": "x: the CPU time of a structure over that at 1e4,",  # as the table names sizes
    "structures_per_s_one_formula": "look-ups/s against stored rows of one formula, 500 at a time,",
    **{
        f"{prefix}{name}": meaning
        for prefix in ("", "twin_")
        for name, meaning in (
            ("pairs_at_limit", "pairs at the matcher's limit, judged by pymatgen in either direction and here"),
            ("matching_pairs", "of them that pymatgen matches"),
            ("missed_pairs", "of these that find_duplicates does not"),
            ("missed_by_filters", "of these that would match, were it not for the fingerprints' limits"),
            ("false_merges", "pairs that only find_duplicates matches, and pymatgen on no cells of theirs"),
            ("loose_matches", "pairs that it matches on cells of theirs, though not as they are given"),
            ("cell_dependent", "of these that it matches in one of several equally short cells only"),
            ("largest_distance", "of the fingerprints of two that match"),
            ("largest_lattice_distance", "of their lattices"),
        )
    },
    "fits_per_structure": "questions to pymatgen a structure, on what group_structures is given",
    "searches_per_structure": "searches of the compiled matcher a structure",
    "compared": "structures given to group_structures and to find_duplicates",
    "speedup_over_group_structures": "x: StructureMatcher.group_structures over find_duplicates",
    "groups": "groups found by group_structures",
    "groups_differ": "structures that are in another group here",
    "groups_differ_unexplained": "of them that pymatgen's matcher, asked in either direction, would not put there",
    "allotropes": "allotropes of one element made",
    "allotropes_s": "s to match all of them with each other",
    "allotropes_distinct": "of them that are duplicates of no other",
    "allotropes_fits": "questions to pymatgen",
    "allotropes_searches": "searches of the compiled matcher",
    "peak_memory_mb_here": "MB, of the process that compared and judged, or of any of its workers",
}


def measure(*, quick: bool, full: bool, say: Callable[[str], None]) -> dict[str, float]:
    """Figures by name; MEANINGS says what each is. PostgreSQL's are absent where no server answers."""
    sizes = QUICK if quick else FULL if full else USUAL
    warnings.simplefilter("ignore")  # pymatgen's, of how symmetry will be found in coming versions
    say("reading the corpus")
    crystals = bases(sizes.every)
    figures = on_each(partial(_stored, sizes, say), say)
    say("beside group_structures")
    figures |= beside_pymatgen(crystals, sizes.compared, RULES.duplicate)
    say("allotropes")
    figures |= crowd(sizes.allotropes, RULES.duplicate)
    for prefix, tolerances, count in (
        ("", RULES.duplicate, sizes.pairs),
        ("twin_", RULES.twin, sizes.twin_pairs),
    ):
        say(f"{count:,} pairs at the limit of {'twins' if prefix else 'duplicates'}")
        figures |= pairs_at_limit(crystals, tolerances, count, say, prefix=prefix)
    return {**figures, "peak_memory_mb_here": max(peak_rss_mb(), peak_rss_of_children_mb())}


def bases(every: int = 1) -> list[Crystal]:
    """Primitive cells of what can be read of the corpus, and of crystals made here."""
    found = []
    for text in [cif.text for cif in (*corpus()[::every], *made(100 if every == 1 else 10))]:
        try:
            found.append(primitive(read_block(text, RULES)))
        except Rejected:
            continue
    return found


def pairs_at_limit(
    crystals: Sequence[Crystal],
    tolerances: Tolerances,
    count: int,
    say: Callable[[str], None],
    *,
    prefix: str = "",
    seed: int = 0,
) -> dict[str, float]:
    """Figures of so many pairs."""
    small = [crystal for crystal in crystals if len(crystal) <= MAX_ATOMS]
    some = list(judged(small, tolerances, count, say, seed=seed))
    return {f"{prefix}{name}": value for name, value in _counted(some).items()}


def _counted(some: Sequence[Judged]) -> dict[str, float]:
    both = [one for one in some if one.theirs and one.ours]
    return {
        "pairs_at_limit": len(some),
        "matching_pairs": sum(one.theirs for one in some),
        "missed_pairs": sum(one.theirs and not one.found for one in some),
        "missed_by_filters": sum(one.ours and not one.found for one in some),
        "false_merges": sum(one.found and not one.confirmed for one in some),
        "loose_matches": sum(one.found and one.confirmed and not one.theirs for one in some),
        "cell_dependent": sum(one.found and one.confirmed and not one.reduced for one in some),
        "largest_distance": max((one.distance for one in both), default=0.0),
        "largest_lattice_distance": max((one.lattice_distance for one in both), default=0.0),
    }


def _stored(sizes: Sizes, say: Callable[[str], None], database: str, url: str | None) -> dict[str, float]:
    say(f"{sizes.stored[-1]:,} stored on {database}")
    counts = [str(count) for count in (*sizes.stored, sizes.one_formula, sizes.every)]
    found = in_a_process("benchmark.match_once", *counts, url=url)
    return {name if database == "postgresql" else f"{name}_{database}": value for name, value in found.items()}
