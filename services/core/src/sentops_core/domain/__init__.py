"""The pure core: values and decisions. Imports nothing of ours outside this folder and no framework but pydantic."""
