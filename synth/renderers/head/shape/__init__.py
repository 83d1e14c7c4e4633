"""The form of the head: a mean mesh, and how traits, expressions and age move it."""
