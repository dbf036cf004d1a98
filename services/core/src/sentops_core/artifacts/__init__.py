"""The artefact store: content-addressed folders that appear whole or not at all, on a disk or in S3.

Every folder is *sealed* by one small file that lists the others with their hashes (an artefact's manifest.json, a
plain folder's _listing.json). The seal is written last and checked first, so what has a seal is complete, and what
was damaged afterwards is never used.
"""

from sentops_core.artifacts.artifact import (
    fetch_artifact,
    prune_cache,
    publish_folder,
    read_manifest,
    verify_artifact,
    write_manifest,
)
from sentops_core.artifacts.folders import get_folder, put_folder
from sentops_core.artifacts.single_file import read_published_file, read_published_manifest

__all__ = [
    "fetch_artifact",
    "get_folder",
    "prune_cache",
    "publish_folder",
    "put_folder",
    "read_manifest",
    "read_published_file",
    "read_published_manifest",
    "verify_artifact",
    "write_manifest",
]
