"""Fitted objects: state in files, networks, training, pretrained weights."""
