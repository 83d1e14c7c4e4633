"""The colours of the head: skin, lips, eyes, brows, teeth, and what years and make-up add."""
