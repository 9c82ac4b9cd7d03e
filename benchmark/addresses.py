"""What the platform answers to anybody, and who asks for it. Knows no platform: only names and paths.

tests/benchmark/test_pages_benchmark.py compares this with the platform's own addresses: each that answers to GET is
here, or in ``NOT_MEASURED`` with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VISITOR, PARTICIPANT, ORGANISER, STAFF = "visitor", "participant", "organiser", "staff"
PROGRAMME = "programme"  # shows the participant's API key
MONITOR = "monitor"  # shows METRICS_TOKEN

FINE = (200, 201, 204)  # statuses

_EVERYBODY = {
    "home": "/",
    "signup": "/accounts/signup/",
    "login": "/accounts/login/",
    "season": "/seasons/{slug}/",
    "leaderboard": "/seasons/{slug}/leaderboard/",
    "stable": "/seasons/{slug}/stable/",
    "stable_found": "/seasons/{slug}/stable/?found=on",
    "stable_system": "/seasons/{slug}/stable/?system={system}",
    "stable_later": "/seasons/{slug}/stable/?after={formula}",
    "dump_file": "/seasons/{slug}/dump/{dump_file}",
}
_MONITORS = {"healthz": "/healthz", "readyz": "/readyz", "metrics": "/metrics"}
_BATCHES = {
    "batch": "/batches/{batch}/",
    "batch_later": "/batches/{batch}/?after={arrival}",
    "batch_rejected": "/batches/{batch}/?outcome=rejected",
    "batch_set_aside": "/batches/{batch}/?outcome=set_aside",
    "batch_reason": "/batches/{batch}/?reason=NOT_BULK",
    "batch_duplicate": "/batches/{batch}/?outcome=duplicate",
    "batch_live": "/batches/{batch}/live/",
    "batch_live_as_before": "/batches/{waiting_batch}/live/?mark={mark}",
    "batch_csv": "/batches/{batch}/table.csv",
    "batch_withdraw": "/batches/{batch}/withdraw/",
    "batch_in_line": "/batches/{waiting_batch}/?after={before_waiting}",
    "batch_waiting": "/batches/{waiting_batch}/?outcome=relaxed",
    "candidate": "/candidates/{candidate}/",
    "candidate_waiting": "/candidates/{waiting}/",
    "candidate_withdraw": "/candidates/{candidate}/withdraw/",
}
_PARTICIPANTS = {
    "batches": "/batches/",
    **_BATCHES,
    "batch_stable": "/batches/{batch}/?outcome=stable",
    "upload": "/seasons/{slug}/upload/",
    "keys": "/accounts/keys/",
    "password": "/accounts/password/",
    "dry_run": "/dry-runs/{dry_run}/",
    "dry_run_later": "/dry-runs/{dry_run}/?after={dry_row}",
    "dry_run_reason": "/dry-runs/{dry_run}/?reason={dry_reason}",
    "dry_run_no_reason": "/dry-runs/{dry_run}/?reason=NOBODYS",
    "dry_run_live": "/dry-runs/{dry_run}/live/",
    "dry_run_csv": "/dry-runs/{dry_run}/table.csv",
}
_PROGRAMMES = {
    "key_batch": "/batches/{batch}/",
    "key_batch_csv": "/batches/{batch}/table.csv",
    "key_dry_run": "/dry-runs/{dry_run}/",
    "key_dry_run_csv": "/dry-runs/{dry_run}/table.csv",
    "key_upload_options": "OPTIONS /seasons/{slug}/uploads/",
    "key_upload_begin": "POST /seasons/{slug}/uploads/",
    "key_upload_offset": "HEAD /uploads/{upload}",
}
_ORGANISERS = {
    "organiser_season": "/seasons/{slug}/",
    "organiser_leaderboard": "/seasons/{slug}/leaderboard/",
    "organiser_batch": "/batches/{batch}/",
    "organiser_batch_waiting": "/batches/{waiting_batch}/?outcome=relaxed",
    "organiser_batch_live": "/batches/{batch}/live/",
    "organiser_batch_csv": "/batches/{batch}/table.csv",
    "organiser_batch_withdraw": "/batches/{batch}/withdraw/",
    "organiser_candidate": "/candidates/{candidate}/",
    "organiser_candidate_withdraw": "/candidates/{candidate}/withdraw/",
}
ADMIN_TABLES = (
    *("acceptedjudge", "apikey", "auditentry", "batch", "bell", "candidate", "candidatedetail", "decision", "dryrun"),
    *("dump", "hullaudit", "hullpoint", "lock", "logentry", "membership", "opinion", "phase", "placement", "release"),
    *("releasephase", "relaxationfact", "relaxationgeometry", "rerun", "resumableupload", "round", "run"),
    *("runauditor", "runexclusion", "scale", "scoreentry", "season", "shard", "user", "withdrawal"),
)
ADMIN_ROWS = (  # tables with a row whose page is opened; it is named as the table
    *("apikey", "batch", "candidate", "candidatedetail", "dryrun", "dump", "hullpoint", "logentry", "membership"),
    *("phase", "placement", "release", "releasephase", "relaxationfact", "relaxationgeometry", "resumableupload"),
    *("run", "scale", "scoreentry", "season", "shard", "user"),
)
_ADMIN = "/admin/philately"
_STAFF = {
    "second_factor": "/accounts/second-factor/",
    "staff_batch": "/batches/{batch}/",
    "staff_candidate": "/candidates/{candidate}/",
    "admin": "/admin/",
    "admin_app": f"{_ADMIN}/",
    **{f"admin_{table}": f"{_ADMIN}/{table}/" for table in ADMIN_TABLES},
    **{f"admin_{table}_row": f"{_ADMIN}/{table}/{{{table}}}/change/" for table in ADMIN_ROWS},
    "admin_group": "/admin/auth/group/",
    "admin_user_add": f"{_ADMIN}/user/add/",
    "admin_user_delete": f"{_ADMIN}/user/{{user}}/delete/",
    "admin_user_password": f"{_ADMIN}/user/{{user}}/password/",
    "admin_candidate_history": f"{_ADMIN}/candidate/{{candidate}}/history/",
    "admin_candidate_later": f"{_ADMIN}/candidate/?before={{candidate}}",
    "admin_candidate_state": f"{_ADMIN}/candidate/?state__exact=set_aside",
    "admin_candidate_search": f"{_ADMIN}/candidate/?q={{formula}}",
    "admin_batch_state": f"{_ADMIN}/batch/?state__exact=set_aside",
    "admin_batch_search": f"{_ADMIN}/batch/?q={{user_name}}",
    "admin_phase_held": f"{_ADMIN}/phase/?status__exact=held",
    "admin_phase_search": f"{_ADMIN}/phase/?q={{system}}",
    "admin_placement_held": f"{_ADMIN}/placement/?verdict__exact=held",
    "admin_placement_search": f"{_ADMIN}/placement/?q={{candidate}}",
    "admin_scoreentry_search": f"{_ADMIN}/scoreentry/?q={{user_name}}",
    "admin_user_search": f"{_ADMIN}/user/?q={{user_name}}",
}
_BLIND_TO_EVERYBODY = {
    "visitor_season": "/seasons/{slug}/",
    "visitor_leaderboard": "/seasons/{slug}/leaderboard/",
    "visitor_stable": "/seasons/{slug}/stable/",
}
_BLIND_TO_PARTICIPANTS = {
    "season": "/seasons/{slug}/",
    "leaderboard": "/seasons/{slug}/leaderboard/",
    "stable": "/seasons/{slug}/stable/",
    "stable_system": "/seasons/{slug}/stable/?system={system}",
    "stable_later": "/seasons/{slug}/stable/?after={formula}.{candidate}",
    "batches": "/batches/",
    **_BATCHES,
    "batch_placed": "/batches/{batch}/?outcome=placed",
    "batch_stable": "/batches/{batch}/?outcome=stable",
    "upload": "/seasons/{slug}/upload/",
}
_BLIND_TO_PROGRAMMES = {"key_batch": "/batches/{batch}/", "key_batch_csv": "/batches/{batch}/table.csv"}

_Paths = Mapping[str, Mapping[str, str]]  # by who asks, by name; a method other than GET stands before the path

OPEN: _Paths = {
    VISITOR: _EVERYBODY,
    PARTICIPANT: _PARTICIPANTS,
    PROGRAMME: _PROGRAMMES,
    ORGANISER: _ORGANISERS,
    STAFF: _STAFF,
    MONITOR: _MONITORS,
}
BLIND: _Paths = {  # asked of the same season while it is blind; organisers and staff see what they always do
    who: {f"blind_{name}": path for name, path in paths.items()}
    for who, paths in (
        (VISITOR, _BLIND_TO_EVERYBODY),
        (PARTICIPANT, _BLIND_TO_PARTICIPANTS),
        (PROGRAMME, _BLIND_TO_PROGRAMMES),
    )
}
NAMES = tuple(name for paths in (OPEN, BLIND) for pages in paths.values() for name in pages)

# By the address's name in the platform, or how it ends.
NOT_MEASURED = {
    "logout": "a deed, by POST",
    "second-factor-recovery": "a deed, by POST",
    "key-revoke": "a deed, by POST",
    "dry-run-submit": "a deed, by POST",
    "second-factor-enrol": "once for each member of the staff, of whom no rows grow",
    "admin-login": "leads on to the platform's own page",
    "admin-password": "leads on to the platform's own page",
    "admin:login": "the platform's own page has its address",
    "admin:logout": "a deed, by POST",
    "admin:password_change": "the platform's own page has its address",
    "admin:password_change_done": "a sentence",
    "admin:jsi18n": "a script that is the same always",
    "admin:autocomplete": "no form of ours asks for it",
    "admin:view_on_site": "leads on, and no table here has such addresses",
    "_add": "a form without rows where anything may be added at all; that of users is measured",
    "_delete": "refused, or of tables that grow by hand; that of users is measured",
    "_history": "what staff changed by hand; that of candidates is measured",
    "admin:auth_group_change": "of tables that grow by hand",
    **{
        f"admin:philately_{table}_change": "a table of few rows, or like others' that are measured"
        for table in ADMIN_TABLES
        if table not in ADMIN_ROWS
    },
}


@dataclass(frozen=True, slots=True)
class Address:
    name: str
    who: str
    path: str
    method: str = "GET"


def addresses(values: Mapping[str, object], asked: _Paths = OPEN) -> list[Address]:
    """All of them, with what the paths name filled in."""
    return [
        _address(name, who, path.format_map(values)) for who, pages in asked.items() for name, path in pages.items()
    ]


def _address(name: str, who: str, text: str) -> Address:
    method, _, path = text.rpartition(" ")
    return Address(name, who, path, method or "GET")
