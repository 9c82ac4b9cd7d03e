"""``manage.py import_release FILE``: take in reference phases."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from hull.reference import Coverage, DamagedRelease, read_release, write_release
from philately.domain.judges import checked
from philately.domain.releases import import_release
from philately.management.deed_command import organiser_named
from validation.canary import CanaryDied
from validation.potentials import Judge, judge_names, load_judge
from validation.releasing import ReleaseRefused, read_sources, relax_release
from validation.rules import RelaxationSettings, Rules
from validation.scales import scale_digest, scale_of


class Command(BaseCommand):
    help = (
        "Take reference phases in. A release file (Parquet) of the judge's own scale is taken as it is; all "
        "else (a folder or an archive of CIFs, a JSON of pymatgen entries with structures, Parquet with OPTIMADE's "
        "structure columns) is relaxed by the judge first, because energies of different scales never meet in one hull."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="release, folder, archive, JSON or Parquet")
        parser.add_argument("--judge", choices=judge_names(), help="whose scale (default: the release file's own)")
        parser.add_argument("--model", default="", help="folder or hub name of the judge's weights")
        parser.add_argument("--name", help="name of the release (default: the file's name)")
        parser.add_argument(
            "--coverage",
            choices=[str(coverage) for coverage in Coverage],
            default=str(Coverage.PROTOTYPES),
            help="what it covers: elements, prototypes, or full (all that is known); default: %(default)s",
        )
        parser.add_argument("--max-atoms", type=int, default=200, help="skip larger primitive cells (default: 200)")
        parser.add_argument("--by", metavar="USER", help="who does it, of the staff; kept in the audit log")

    def handle(self, **options: Any) -> None:
        path: Path = options["file"]
        by = organiser_named(options["by"])
        try:
            ready = path if options["judge"] is None else self._on_scale(path, options)
            release, new = import_release(ready, model=options["model"], by=by)
        except (DamagedRelease, ReleaseRefused, CanaryDied) as error:
            hint = "" if options["judge"] else " (give --judge to have structures relaxed)"
            raise CommandError(f"{error}{hint}") from error
        except FileNotFoundError as error:
            raise CommandError(f"there is no file {path}") from error
        state = "taken in" if new else "was there already"
        self.stdout.write(
            f"release {release.pk} {release.name}: {release.n_phases} phases, {release.coverage}, {state}"
        )
        self.stdout.write(f"scale {release.scale}, SHA-256 {release.sha256}")

    def _on_scale(self, path: Path, options: dict[str, Any]) -> Path:
        """The file itself where it is a release on this judge's scale, else a new one with everything relaxed again."""
        judge = load_judge(options["judge"], options["model"])
        checked(judge)
        how = RelaxationSettings()
        if path.suffix == ".parquet" and _states_scale(path, judge, how):
            return path
        rules = Rules(max_atoms=options["max_atoms"], excluded_elements=())
        name = options["name"] or path.stem
        built = relax_release(
            read_sources(path, rules),
            judge,
            how,
            rules,
            name=name,
            coverage=Coverage(options["coverage"]),
            progress=self.stdout.write,
        )
        for label, why in built.left_out:
            self.stderr.write(f"left out {label}: {why}")
        without = sorted(
            {element for phase in built.release.phases for element in phase.formula.elements}
            - set(built.release.elements)
        )
        if without:
            self.stderr.write(f"no elemental reference for {', '.join(without)}: distances there will be undefined")
        folder: Path = settings.DATA_DIR / "releases"
        folder.mkdir(parents=True, exist_ok=True)
        out = folder / f"{name}.parquet"
        write_release(built.release, out)
        self.stdout.write(f"written to {out}")
        return out


def _states_scale(path: Path, judge: Judge, how: RelaxationSettings) -> bool:
    try:
        return read_release(path).scale_digest == scale_digest(scale_of(judge, how))
    except DamagedRelease:
        return False
