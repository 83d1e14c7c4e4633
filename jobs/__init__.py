"""WHAT is built: recipes, plans, the build, and the command line."""
