"""Relaxing crystals by batches, and by one ASE loop after the other on the same judge: speed and agreement.

Both run in turns on the same crystals, in seconds of the clock of all cores, or of the GPU where torch finds one. The
loop has as many threads as serve it best; batches have a process of one thread on each core, or the GPU.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.relaxed_crystals import crystals
from validation.crew import Crew, Duty
from validation.crystal import Crystal
from validation.flight import Ended, Failed, Flight, Relaxed, relax_batch
from validation.potentials import Judge, load_judge
from validation.relaxation import Relaxation, Stopped, relax
from validation.rules import RelaxationSettings

MODEL = Path(__file__).resolve().parents[2] / "shared" / "models" / "TensorNet-MatPES-PBE-v2025.1-PES"
SETTINGS = RelaxationSettings()
TURNS = 2
SAME_MINIMUM_EV_PER_ATOM = 1e-3

_OF_A_JUDGE = {
    "speedup_over_ase_loop": "x: seconds of the clock of the ASE loop over those of batches",
    "speedup_a_core": "x: the same in CPU seconds of one core, one thread each, on fewer crystals",
    "speedup_over_openlam_loop": "x: the OpenLAM client's loop (BFGS, 1e-4 eV/Å, 200 steps) over our batches",
    "structures_per_s": "structures/s in batches",
    "ase_structures_per_s": "structures/s in the ASE loop",
    "us_per_atom_and_step": "µs of the clock in batches",
    "ase_us_per_atom_and_step": "µs of the clock in the ASE loop",
    "steps": "steps in batches, all crystals",
    "ase_steps": "steps in the ASE loop, all crystals",
    "share_outside_potential": "of a batch's time, not in the potential's forward and backward pass",
    "max_energy_difference_ev_per_atom": "eV/atom between the two, where both converge",
    "apart": "crystals that converge by both ways, but more than 1 meV/atom apart: roundings led them to other minima",
    "converged": "crystals that converge in batches",
    "converged_in_one": "crystals that converge in batches or in the loop, but not in both",
    "failed": "crystals about which the judge raised an error",
    "ase_threads": "threads of the ASE loop",
}
MEANINGS = {
    "crystals": "crystals relaxed, each by both",
    "of_the_corpus": "1 where they are of the corpus, 0 where there is none and they are made",
    "atoms": "atoms in a cell, mean",
    "share_outside_potential": "the largest of the judges'",
    "max_energy_difference_ev_per_atom": "the largest of the judges'",
    **{f"{name}_{judge}": text for judge in ("tensornet", "chgnet") for name, text in _OF_A_JUDGE.items()},
}


@dataclass(frozen=True, slots=True)
class _Measured:
    """One way of relaxing: seconds of the clock, CPU seconds of this process, and what came of each crystal."""

    clock_s: float = 0.0
    cpu_s: float = 0.0
    ends: dict[int, Relaxation] = field(default_factory=dict)
    failed: int = 0

    def __add__(self, other: _Measured) -> _Measured:
        return _Measured(
            self.clock_s + other.clock_s,
            self.cpu_s + other.cpu_s,
            {**self.ends, **other.ends},
            self.failed + other.failed,
        )

    @property
    def steps(self) -> int:
        return sum(end.steps for end in self.ends.values())

    @property
    def atom_steps(self) -> int:
        """Atoms × evaluations."""
        return sum(len(end.crystal) * (end.steps + 1) for end in self.ends.values())


def measure(*, quick: bool, full: bool, say: Callable[[str], None]) -> dict[str, float]:
    """Figures by name; MEANINGS says what each is."""
    duties = _duties()
    if len(duties) == 1:
        say("no TensorNet beside this checkout, and none in BENCHMARK_MODEL: CHGNet only")
    judges = {name: load_judge(duty.judge, duty.model) for name, duty in duties.items()}
    known = frozenset.intersection(*(judge.elements for judge in judges.values()))
    chosen, of_the_corpus = crystals(100 if not full else 400, known)
    chosen = sorted(chosen, key=len)[:2] if quick else chosen
    figures: dict[str, float] = {
        "crystals": len(chosen),
        "of_the_corpus": int(of_the_corpus),
        "atoms": sum(map(len, chosen)) / len(chosen),
    }
    for name, duty in duties.items():
        figures |= {
            f"{figure}_{name}": value
            for figure, value in _of_a_judge(duty, judges[name], chosen, 1 if quick else 20, say).items()
        }
    for largest in ("share_outside_potential", "max_energy_difference_ev_per_atom"):
        figures[largest] = max(figures[f"{largest}_{name}"] for name in duties)
    return figures


def _duties() -> dict[str, Duty]:
    model = Path(os.environ.get("BENCHMARK_MODEL", MODEL))
    chgnet = Duty(judge="chgnet", model="", settings=SETTINGS)
    if not model.is_dir():
        return {"chgnet": chgnet}
    return {"tensornet": Duty(judge="matgl", model=str(model), settings=SETTINGS), "chgnet": chgnet}


def _of_a_judge(
    duty: Duty, judge: Judge, chosen: Sequence[Crystal], few: int, say: Callable[[str], None]
) -> dict[str, float]:
    cores, on_gpu = len(os.sched_getaffinity(0)), judge.device != "cpu"
    numbered = list(enumerate(chosen))
    say(f"{duty.judge} on {judge.device}: warming up")
    list(relax_batch(numbered[:2], judge, RelaxationSettings(max_steps=3)))
    threads = min((1, cores), key=lambda threads: _trial_s(duty, threads, chosen[:2])) if cores > 1 else 1
    batches, loop = _Measured(), _Measured()
    with ExitStack() as stack:
        crew = None if on_gpu else stack.enter_context(Crew(duty, cores))
        if crew is not None:  # which loads and compiles before it is measured
            list(crew.relax((-1 - place, crystal) for place, crystal in numbered[: 2 * cores]))
        for turn in range(TURNS):
            part = numbered[turn::TURNS]
            batches += _timed(crew.relax(part) if crew is not None else relax_batch(part, judge, SETTINGS))
            say(f"  batches: {len(batches.ends)} crystals in {batches.clock_s:.0f} s")
            loop += _timed(_ase_loop(part, load_judge(duty.judge, duty.model, threads=threads)))
            say(f"  ASE loop on {threads} threads: {len(loop.ends)} crystals in {loop.clock_s:.0f} s")
        openlam_speedup = _over_openlam(crew, judge, numbered[:few])
    return {
        "speedup_over_ase_loop": loop.clock_s / batches.clock_s,
        "speedup_over_openlam_loop": openlam_speedup,
        **_of_one_core(duty, numbered[:few], say),
        "structures_per_s": len(batches.ends) / batches.clock_s,
        "ase_structures_per_s": len(loop.ends) / loop.clock_s,
        "us_per_atom_and_step": 1e6 * batches.clock_s / batches.atom_steps,
        "ase_us_per_atom_and_step": 1e6 * loop.clock_s / loop.atom_steps,
        "steps": batches.steps,
        "ase_steps": loop.steps,
        **_agreement(batches, loop),
        "ase_threads": threads,
    }


def _trial_s(duty: Duty, threads: int, some: Sequence[Crystal]) -> float:
    judge = load_judge(duty.judge, duty.model, threads=threads)
    return _timed(_ase_loop(list(enumerate(some)), judge, RelaxationSettings(max_steps=5))).clock_s


def _ase_loop(
    numbered: Iterable[tuple[int, Crystal]], judge: Judge, settings: RelaxationSettings = SETTINGS
) -> Iterable[Ended]:
    for number, crystal in numbered:
        yield Relaxed(number, relax(crystal, judge, settings))


def _timed(ended: Iterable[Ended]) -> _Measured:
    clock, cpu = time.perf_counter(), time.process_time()
    found = list(ended)
    ends = {int(str(end.key)): end.relaxation for end in found if isinstance(end, Relaxed)}
    failed = sum(isinstance(end, Failed) for end in found)
    return _Measured(time.perf_counter() - clock, time.process_time() - cpu, ends, failed)


def _of_one_core(duty: Duty, numbered: Sequence[tuple[int, Crystal]], say: Callable[[str], None]) -> dict[str, float]:
    """One thread, one batch: what is spent where."""
    judge = load_judge(duty.judge, duty.model, threads=1)
    flight = Flight(judge, SETTINGS)
    evaluator = judge.batched
    assert evaluator is not None
    list(relax_batch(numbered[:2], judge, RelaxationSettings(max_steps=3)))
    before = evaluator.potential_s
    for number, crystal in numbered:
        flight.add(number, crystal)
    batch = _timed(end for _ in iter(lambda: bool(flight.unfinished), False) for end in flight.step())
    loop = _timed(_ase_loop(numbered, judge))
    say(f"  on one core: {batch.cpu_s:.1f} s of CPU in a batch, {loop.cpu_s:.1f} s in the loop")
    return {
        "speedup_a_core": loop.cpu_s / batch.cpu_s,
        "share_outside_potential": 1 - (evaluator.potential_s - before) / batch.clock_s,
    }


def _over_openlam(crew: Crew | None, judge: Judge, numbered: Sequence[tuple[int, Crystal]]) -> float:
    """The public client's settings, where they differ from ours in kind: BFGS, its steps and its limit on forces."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    batches = _timed(crew.relax(numbered) if crew is not None else relax_batch(numbered, judge, SETTINGS))
    started = time.perf_counter()
    for _, crystal in numbered:
        atoms = crystal.to_atoms()
        atoms.calc = judge.calculator
        BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4, steps=200)
    return (time.perf_counter() - started) / batches.clock_s


def _agreement(batches: _Measured, loop: _Measured) -> dict[str, float]:
    ends, others = batches.ends, loop.ends
    converged = {number for number, end in ends.items() if end.stopped is Stopped.CONVERGED}
    in_the_loop = {number for number, end in others.items() if end.stopped is Stopped.CONVERGED}
    apart = [abs(ends[number].energy_per_atom - others[number].energy_per_atom) for number in converged & in_the_loop]
    return {
        "max_energy_difference_ev_per_atom": max(apart, default=0.0),
        "apart": sum(one > SAME_MINIMUM_EV_PER_ATOM for one in apart),
        "converged": len(converged),
        "converged_in_one": len(converged ^ in_the_loop),
        "failed": batches.failed,
    }
