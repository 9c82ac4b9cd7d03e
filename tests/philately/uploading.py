"""Bytes that are uploaded, and what becomes of them: texts in shards, and whose slices came one after the other."""

from itertools import groupby

from django.core.files.uploadedfile import SimpleUploadedFile

from philately.domain.files import read_shard
from philately.domain.intake import Method, accept_upload
from philately.models import Candidate, CandidateDetail

TEXTS = {"a.cif": "data_a\n_cell_length_a 1\n", "b.cif": "data_b\n_cell_length_a 2\n"}


def accept(member, data, name="batch.zip", **options):
    return accept_upload(member, SimpleUploadedFile(name, data), Method("by hand"), **{"consent": True, **options})


def texts_of(batch):
    """Name → text of every candidate, read back from the shards."""
    found = {}
    for detail in CandidateDetail.objects.filter(candidate__batch=batch).select_related("candidate__shard"):
        text = read_shard(detail.candidate.shard)[detail.offset : detail.offset + detail.length]
        found[detail.file, detail.block] = text.decode()
    return found


def unreadable(count, name="a"):
    """Structures that cannot be read, which is quick."""
    return {f"{name}{number:03}.cif": f"data_{name}{number}\n_cell_length_a 1\n" for number in range(count)}


def owners_in_order(season):
    """Whose slices came one after the other."""
    rows = Candidate.objects.filter(season=season).order_by("arrival")
    batches = rows.values_list("shard", "batch__owner__user__username")
    return [owner for (_, owner), _ in groupby(batches)]
