"""Refusals of whole uploads."""


class UploadRefused(Exception):
    """The upload is not accepted; the message says why to its sender."""


class TooLarge(UploadRefused):
    """It has more bytes than one upload may have."""


class QuotaUsedUp(UploadRefused):
    """It exceeds what its sender may still send now."""
