"""What the platform does: one function a deed, called by pages, tasks and commands alike."""
