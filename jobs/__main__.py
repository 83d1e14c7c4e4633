"""`python -m jobs` is `hypersynth`."""

from jobs.cli import main

main()
