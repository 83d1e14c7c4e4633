"""Hair and beards: who wears which style, and strands grown over the placed head."""
