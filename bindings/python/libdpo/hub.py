"""Models by their names on Hugging Face's hub, as far as they lie in its cache on this machine. Nothing is fetched."""

from __future__ import annotations

import os
import re
from typing import Union

from . import errors

__all__ = ["local_model"]

#: What transformers would take for a name on the hub.
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def _cache() -> str:
    """The hub's cache, as huggingface_hub finds it."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache"), "huggingface")
    return os.path.expanduser(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub"))


def local_model(path: "Union[str, os.PathLike[str]]") -> str:
    """``path`` itself, or the newest snapshot of the model of that name in the hub's cache (HF_HUB_CACHE, HF_HOME)."""
    path = os.fspath(path)
    if not isinstance(path, str) or os.path.exists(path) or not _NAME.fullmatch(path):
        return path
    cache = _cache()
    folder = os.path.join(cache, "models--" + path.replace("/", "--"))
    try:
        with open(os.path.join(folder, "refs", "main"), encoding="utf-8") as file:
            snapshot = os.path.join(folder, "snapshots", file.read().strip())
        if os.path.isdir(snapshot):
            return snapshot
    except OSError:
        pass
    try:
        snapshots = [os.path.join(folder, "snapshots", name) for name in os.listdir(os.path.join(folder, "snapshots"))]
    except OSError:
        snapshots = []
    if snapshots:
        return max(snapshots, key=os.path.getmtime)
    if "/" not in path:
        return path
    raise errors.FileError(
        f"{path} is neither a file nor a directory, nor a model in the hub's cache, {cache}: libdpo fetches nothing. "
        f"Run `hf download {path}` once, or give the path of a model"
    )
