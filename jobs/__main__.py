"""`python -m jobs` is `hypersynth`."""

from jobs.cli import main

if __name__ == "__main__":
    main()
