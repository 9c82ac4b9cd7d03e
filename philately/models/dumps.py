"""What a season offers for download."""

from django.db import models


class Dump(models.Model):
    """Files of one dump in the storage. The newest one that is whole is offered; the row says so, for every machine at
    once. Its folder is its own, so nobody who still reads an older one finds another's bytes."""

    season = models.ForeignKey("philately.Season", models.CASCADE, related_name="dumps")
    stored_in = models.CharField(max_length=255, unique=True, help_text="folder in the storage")
    manifest = models.JSONField(help_text="as the file says")
    files = models.JSONField(default=dict, help_text="bytes by name, manifest and checksums included")
    begun_at = models.DateTimeField(auto_now_add=True)
    whole_at = models.DateTimeField(null=True, help_text="none while its files are being stored")
    took_s = models.FloatField(default=0.0, help_text="to write it, while the sequencer waited")

    def __str__(self) -> str:
        return f"dump {self.pk} of {self.season}"

    @property
    def names(self) -> list[str]:
        """Of its files, in order."""
        return sorted(self.files)
