"""Inference only: loads an artefact by digest and answers."""
