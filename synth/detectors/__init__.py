"""Detectors: where the faces are in a picture, and where their five points lie."""
