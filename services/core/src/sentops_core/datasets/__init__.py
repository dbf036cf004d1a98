"""Labelled texts: reading files people send, deciding what a version holds, and writing it where runs read it."""
