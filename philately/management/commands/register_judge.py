"""``manage.py register_judge NAME``: is this judge what it should be here?"""

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from philately.domain.judges import NotAcceptable, accept, accepted_values
from philately.management.deed_command import organiser_named
from philately.models import User
from validation.canary import CanaryResult, CanaryRow, sing
from validation.potentials import Judge, judge_names, load_judge

_LINE = "{:<8} {:>10} {:>10} {:>9} {:>12} {:>12} {:>10}  {}"


class Command(BaseCommand):
    help = (
        "Load a judge, say what it is, and relax the canary's crystals with it, beside the values registered for it. A "
        "judge that does not relax them is refused. One without registered values is held against experiment, and with "
        "--accept its values are kept: from then on workers hold these weights against them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", choices=judge_names(), help="of the judge")
        parser.add_argument(
            "--model",
            default="",
            help="folder or hub name of its weights, or a description as JSON",
        )
        parser.add_argument("--accept", action="store_true", help="keep its values, where none are registered")
        parser.add_argument("--by", metavar="USER", help="who does it, of the staff; kept in the audit log")

    def handle(self, **options: Any) -> None:
        by = organiser_named(options["by"])
        judge = _loaded(options["name"], options["model"])
        for line in _card(judge):
            self.stdout.write(line)
        canary = sing(judge, accepted_values(judge.identity()))
        self.stdout.write(f"\nheld against {canary.source}")
        for line in _table(canary):
            self.stdout.write(line)
        if not canary.passed:
            raise CommandError(f"the judge {judge.name} is refused, {canary.problem}")
        self._end(judge, canary, accept_it=options["accept"], by=by)

    def _end(self, judge: Judge, canary: CanaryResult, *, accept_it: bool, by: User | None) -> None:
        if canary.is_known:
            self.stdout.write("it relaxes all of them as registered; there is nothing to accept")
        elif not accept_it:
            self.stdout.write("no values are registered for these weights; --accept keeps those found")
        else:
            try:
                accept(judge, canary, by=by)
            except NotAcceptable as error:
                raise CommandError(str(error)) from error
            self.stdout.write("accepted: workers hold these weights against the values found")


def _loaded(name: str, model: str) -> Judge:
    try:
        return load_judge(name, model)
    except Exception as error:  # whatever a potential's own loader raises, an organiser reads it as a sentence
        raise CommandError(f"the judge {name} cannot be loaded: {type(error).__name__}: {error}") from error


def _card(judge: Judge) -> Iterator[str]:
    versions = ", ".join(f"{package} {version}" for package, version in sorted(judge.versions.items()))
    yield f"judge         {judge.name} {judge.model}".rstrip()
    yield f"architecture  {judge.architecture}"
    yield f"elements      {len(judge.elements)}: {' '.join(sorted(judge.elements))}"
    yield f"cutoff        {judge.cutoff_ang:g} Å"
    yield f"dtype         {judge.dtype}"
    yield f"device        {judge.device}"
    yield f"weights       SHA-256 {judge.weights_sha256}"
    yield f"versions      {versions}"
    yield from (f"option        {name}: {value}" for name, value in sorted(judge.options.items()))


def _table(canary: CanaryResult) -> Iterator[str]:
    yield _LINE.format("crystal", "expected", "found", "apart", "expected", "found", "apart", "")
    yield _LINE.format("", "a, Å", "a, Å", "Å", "eV/atom", "eV/atom", "eV/atom", "")
    yield from (_row(row) for row in canary.rows)


def _row(row: CanaryRow) -> str:
    expected, found = row.expected, row.found
    lattice = (expected.lattice_ang, found.lattice_ang, found.lattice_ang - expected.lattice_ang)
    known = None not in (expected.energy_per_atom, found.energy_per_atom)
    apart = (found.energy_per_atom or 0.0) - (expected.energy_per_atom or 0.0) if known else None
    energies = (expected.energy_per_atom, found.energy_per_atom, apart)
    verdict = "" if row.sings else "off, or it does not converge"
    return _LINE.format(
        row.crystal, *(f"{a:.3f}" for a in lattice), *("—" if e is None else f"{e:.4f}" for e in energies), verdict
    ).rstrip()
