"""What the code costs, each figure beside what users would otherwise use: ``python -m benchmark NAME``."""
