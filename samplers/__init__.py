"""WHO is in a dataset, and how they vary: vectors on the hypersphere. No files, no Ray, no faces."""
