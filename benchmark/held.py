"""False alarms of the `held` rules: how often each threshold would hold a crystal that is real.

Crystals of the corpus are relaxed by the judge as a season would, and what it finds by the auditor; then every
threshold is tried. The judge is CHGNet; the auditor is TensorNet-MatPES-PBE beside this checkout or in BENCHMARK_MODEL.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.cifs import Cif, corpus, made
from benchmark.held_arrivals import Arrived, on_arrival
from benchmark.held_relaxed import Cache, End, Job, Say, accepted, relaxed, spread
from benchmark.held_shares import MEANINGS as OF_SHARES
from benchmark.held_shares import Figures, Find, of_arrivals, of_both, of_one
from benchmark.relax import MODEL
from hull.entries import Formula
from hull.reference import Release, read_release
from validation import canary
from validation.crew import Duty
from validation.crystal import Crystal
from validation.formation import Grounds
from validation.potentials import load_judge
from validation.rules import RelaxationSettings, Rules
from validation.scales import scale_digest, scale_of

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
PROTOTYPES = REFERENCE / "chgnet-prototypes.parquet"
SETTINGS = RelaxationSettings()
MAX_ATOMS = 20
QUICK = 4  # crystals, the smallest
MADE = 50  # crystals where there is no corpus, each written in two ways

MEANINGS = {
    "files": "CIFs",
    "of_the_corpus": "1 where they are of the corpus, 0 where there is none and they are made",
    "accepted": "of them let in by the rules, with at most so many atoms as were asked for",
    "relaxed": "of these relaxed by the judge, as many as were asked for",
    "finds": "of these converged and within the rules",
    "audited": "of these relaxed by the auditor from the judge's cell, converged and within the rules",
    **OF_SHARES,
}


class WrongRelease(ValueError):
    """A release on another scale than the one whose energies are to be held against it."""


@dataclass(frozen=True, slots=True)
class Side:
    """A judge or an auditor with the release that it measures formation energies from."""

    judge: str
    model: str
    elements: Release

    def job(self) -> tuple[Job, frozenset[str]]:
        """What a crew needs, and the elements that are known. Raises CanaryDied and WrongRelease."""
        judge = load_judge(self.judge, self.model, threads=1)
        canary.check(judge)
        digest = scale_digest(scale_of(judge, SETTINGS))
        if self.elements.scale_digest != digest:
            raise WrongRelease(f"release {self.elements.name} is not on the scale of {judge.name} {judge.model}")
        duty = Duty(judge=self.judge, model=self.model, settings=SETTINGS, identity=judge.identity())
        return Job(duty=duty, scale_digest=digest), judge.elements


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is relaxed and how. release: that which crystals arrive on, None to leave arrivals out."""

    max_atoms: int = MAX_ATOMS
    limit: int | None = None
    workers: int = 1
    cache: Path | None = None
    release: Release | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this benchmark alone."""
    parser.add_argument("--max-atoms", type=int, metavar="N", help=f"in the primitive cell (default: {MAX_ATOMS})")
    parser.add_argument("--limit", type=int, metavar="N", help="so many crystals, spread over the corpus")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="keep relaxations there, and go on from it")
    parser.add_argument(
        "--release",
        type=Path,
        metavar="FILE",
        help=f"with compounds, for the rule on arrival (default: reference/{PROTOTYPES.name}, where it is)",
    )


def measure(
    *,
    quick: bool,
    full: bool,
    say: Callable[[str], None],
    max_atoms: int | None = None,
    limit: int | None = None,
    workers: int | None = None,
    cache: Path | None = None,
    release: Path | None = None,
) -> Figures:
    """Figures by name; MEANINGS says what each is. full: as many atoms as a season takes."""
    real = corpus()
    if not real:
        say("no corpus beside this checkout, and none in BENCHMARK_CIFS: crystals are made")
    files = real or _made()
    plan = Plan(
        max_atoms=max_atoms or (Rules().max_atoms if full else MAX_ATOMS),
        limit=limit,
        workers=workers or len(os.sched_getaffinity(0)),
        cache=cache,
        release=_release(release, say),
    )
    if quick:
        files, plan = _few(files), replace(plan, max_atoms=4, limit=QUICK, workers=1)
    judge = Side("chgnet", "", read_release(REFERENCE / "chgnet-elements.parquet"))
    return {"of_the_corpus": int(bool(real)), **held(files, judge, _auditor(say), plan, say)}


def held(files: Sequence[Cif], judge: Side, auditor: Side | None, plan: Plan, say: Say) -> Figures:
    """All figures of these crystals. auditor: None to leave the comparison out."""
    rules, cache = Rules(max_atoms=plan.max_atoms), Cache(plan.cache)
    job, known = judge.job()
    let_in = accepted(files, rules, known)
    chosen = spread(let_in, plan.limit)
    say(f"{len(chosen)} of {len(let_in)} crystals that the rules let in")
    ends = relaxed(chosen, job, plan.workers, cache, say)
    finds = _within(chosen, ends, rules)
    formation = _formation_energies(finds, judge.elements)
    figures: Figures = {
        "files": len(files),
        "accepted": len(let_in),
        "relaxed": len(ends),
        "finds": len(finds),
        **of_one(formation.values(), "judge"),
    }
    if plan.release is not None:
        figures |= of_arrivals(_arrivals(finds, plan.release, job, rules))
    if auditor is not None:
        figures |= _audited(finds, formation, auditor, plan, cache, rules, say)
    return figures


def _audited(
    finds: Mapping[str, End],
    formation: Mapping[str, tuple[Formula, float | None]],
    auditor: Side,
    plan: Plan,
    cache: Cache,
    rules: Rules,
    say: Say,
) -> Figures:
    job, _ = auditor.job()
    cells = {name: end.crystal for name, end in finds.items()}
    ends = _within(cells, relaxed(cells, job, plan.workers, cache, say), rules)
    audited = _formation_energies(ends, auditor.elements)
    pairs = [
        Find(formula=formula, judge=energy, auditor=audited[name][1] if name in audited else None)
        for name, (formula, energy) in formation.items()
    ]
    return {"audited": len(ends), **of_one(audited.values(), "auditor"), **of_both(pairs)}


def _within(initial: Mapping[str, Crystal], ends: Mapping[str, End], rules: Rules) -> dict[str, End]:
    """Those that a season would place."""
    return {name: end for name, end in ends.items() if not end.refusal(initial[name], rules, SETTINGS)}


def _formation_energies(finds: Mapping[str, End], release: Release) -> dict[str, tuple[Formula, float | None]]:
    """eV/atom; None where the release lacks an element."""
    grounds = Grounds.of(release)
    return {
        name: (end.crystal.formula, grounds.formation_energy_per_atom(end.crystal.formula, end.energy))
        for name, end in finds.items()
    }


def _arrivals(finds: Mapping[str, End], release: Release, job: Job, rules: Rules) -> list[Arrived]:
    if release.scale_digest != job.scale_digest:
        raise WrongRelease(f"release {release.name} is not on the scale of {job.duty.judge} {job.duty.model}")
    return list(on_arrival([(end.crystal, end.energy) for end in finds.values()], release, rules))


def _auditor(say: Say) -> Side | None:
    model = Path(os.environ.get("BENCHMARK_MODEL", MODEL))
    if not model.is_dir():
        say("no TensorNet beside this checkout, and none in BENCHMARK_MODEL: no auditor")
        return None
    return Side("matgl", str(model), read_release(REFERENCE / "tensornet-matpes-pbe-elements.parquet"))


def _release(path: Path | None, say: Say) -> Release | None:
    if path is None and not PROTOTYPES.exists():
        say("no release with compounds: arrivals are left out")
        return None
    return read_release(path or PROTOTYPES)


def _made() -> list[Cif]:
    return [replace(file, name=f"made {number}") for number, file in enumerate(made(MADE), start=1)]


def _few(files: Sequence[Cif]) -> list[Cif]:
    """The shortest texts: the smallest cells."""
    return sorted(files, key=lambda file: (len(file.text), file.name))[: 4 * QUICK]
