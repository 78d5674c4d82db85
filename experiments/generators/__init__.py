"""Evaluation and training of the generators of images that come with cgm."""
