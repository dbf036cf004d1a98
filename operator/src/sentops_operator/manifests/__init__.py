"""Manifests as data: a resource and settings go in, one dict comes out; no client, no clock, nothing global."""
