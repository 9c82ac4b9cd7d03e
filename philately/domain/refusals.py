"""Refusals of whole uploads."""


class UploadRefused(Exception):
    """The upload is not accepted; the message says why to its sender."""


class TooLarge(UploadRefused):
    """It has more bytes than one upload may have."""


class QuotaUsedUp(UploadRefused):
    """It exceeds what its sender may still send now."""


class Overloaded(UploadRefused):
    """We can take nothing now, from anybody; the sender may try again after so many seconds. Uses up no quota."""

    def __init__(self, sentence: str, *, retry_after_s: int) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s
