"""Training of networks of our own, on datasets that Hypersynth built."""
