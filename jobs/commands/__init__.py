"""The verbs of the command line: each reads what was typed, calls a verb of `jobs`, and prints what it says."""
