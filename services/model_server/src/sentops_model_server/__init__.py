"""Inference only: loads an artefact by digest and answers. No torch, no database."""
