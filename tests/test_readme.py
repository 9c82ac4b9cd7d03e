"""What the README shows is what runs."""

import re
from pathlib import Path

from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_every_shell_command_of_the_readme_is_run_by_ci():
    shown = [line for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.splitlines() if line]
    ci = (ROOT / ".ci" / "run").read_text()

    assert shown
    assert [command for command in shown if command not in ci] == []


def test_every_management_command_of_the_readme_exists_and_says_what_it_does():
    table = README.split("## For organisers")[1].split("## For downloaders")[0]
    names = re.findall(r"^\| `(\w+)", table, re.M)

    assert len(names) >= 6
    for name in names:
        assert get_commands()[name] == "philately"
        assert load_command_class("philately", name).help


def test_every_file_that_the_documents_link_to_exists():
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name} links to {link}"
