"""Bytes that are uploaded, and texts read back from the shards that became of them."""

from django.core.files.uploadedfile import SimpleUploadedFile

from philately.domain.files import read_shard
from philately.domain.intake import Method, accept_upload
from philately.models import CandidateDetail

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
