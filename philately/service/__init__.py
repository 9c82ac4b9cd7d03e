"""Running the platform's processes on one machine."""
