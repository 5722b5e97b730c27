"""One text, and so one fingerprint, for one content, whatever wrote it."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel


def canonical_json(content: object) -> str:
    """Return the one JSON text of `content`: sorted keys, no spaces, no NaN."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(*parts: BaseModel | dict[str, object] | str | int) -> str:
    """Return the SHA-256 over the canonical JSON of all parts."""
    plain = [part.model_dump(mode="json") if isinstance(part, BaseModel) else part for part in parts]
    return hashlib.sha256(canonical_json(plain).encode()).hexdigest()
