"""What goes wrong with a storage through nobody's fault but ours."""


class StorageFault(OSError):
    """The storage does not answer, is full, or lets us in no more. To be tried again; never a reason to refuse an
    upload. Its text names no credentials."""
