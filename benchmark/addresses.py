"""The pages of the platform that anybody opens, and who opens them. Knows no platform: only names and paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VISITOR, PARTICIPANT, ORGANISER = "visitor", "participant", "organiser"

_EVERYBODY = {
    "home": "/",
    "season": "/seasons/{season}/",
    "leaderboard": "/seasons/{season}/leaderboard/",
    "stable": "/seasons/{season}/stable/",
    "stable_found": "/seasons/{season}/stable/?found=on",
    "stable_system": "/seasons/{season}/stable/?system={system}",
    "stable_later": "/seasons/{season}/stable/?after={formula}",
}
_PARTICIPANTS = {
    "batches": "/batches/",
    "batch": "/batches/{batch}/",
    "batch_later": "/batches/{batch}/?after={arrival}",
    "batch_rejected": "/batches/{batch}/?outcome=rejected",
    "batch_stable": "/batches/{batch}/?outcome=stable",
    "batch_set_aside": "/batches/{batch}/?outcome=set_aside",
    "batch_reason": "/batches/{batch}/?reason=NOT_BULK",
    "batch_live": "/batches/{batch}/live/",
    "batch_csv": "/batches/{batch}/table.csv",
    "batch_withdraw": "/batches/{batch}/withdraw/",
    "batch_under_way": "/batches/{waiting_batch}/",
    "candidate": "/candidates/{candidate}/",
    "candidate_waiting": "/candidates/{waiting}/",
    "candidate_withdraw": "/candidates/{candidate}/withdraw/",
    "upload": "/seasons/{season}/upload/",
    "keys": "/accounts/keys/",
}
_ORGANISERS = {
    "admin": "/admin/",
    "admin_candidates": "/admin/philately/candidate/",
    "admin_candidates_later": "/admin/philately/candidate/?before={candidate}",
    "admin_candidates_state": "/admin/philately/candidate/?state__exact=set_aside",
    "admin_candidates_search": "/admin/philately/candidate/?q={formula}",
    "admin_candidate": "/admin/philately/candidate/{candidate}/change/",
    "admin_batches": "/admin/philately/batch/",
    "admin_phases": "/admin/philately/phase/",
    "admin_phases_held": "/admin/philately/phase/?status__exact=held",
    "admin_placements": "/admin/philately/placement/",
    "admin_relaxations": "/admin/philately/relaxationfact/",
    "admin_log": "/admin/philately/logentry/",
    "admin_scores": "/admin/philately/scoreentry/",
    "organiser_batch": "/batches/{batch}/",
    "organiser_candidate": "/candidates/{candidate}/",
}
PAGES = {VISITOR: _EVERYBODY, PARTICIPANT: {**_PARTICIPANTS}, ORGANISER: {**_ORGANISERS}}
NAMES = tuple(name for pages in PAGES.values() for name in pages)


@dataclass(frozen=True, slots=True)
class Address:
    name: str
    who: str
    path: str


def addresses(values: Mapping[str, object]) -> list[Address]:
    """All of them, with what the paths name filled in."""
    return [Address(name, who, path.format(**values)) for who, pages in PAGES.items() for name, path in pages.items()]
