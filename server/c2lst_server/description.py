"""What FastAPI's description of the interface lacks: an example of every body and answer, and refusals as they really are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from c2lst_server.problems import ProblemResponse
from c2lst_server.sites.registry import SiteRecord
from c2lst_server.trainings.images import ImageFolder
from c2lst_server.trainings.plan import TrainingPlan
from c2lst_server.trainings.store import TrainingSummary, TrainingView
from c2lst_shared.presets import get_preset
from c2lst_shared.release.manifest import Manifest
from c2lst_shared.wire import (
    AccessToken,
    Catalogue,
    EnrolmentReply,
    EnrolmentRequest,
    Health,
    KeyRotation,
    LinkReply,
    SiteReply,
    TokenRequest,
)

_MOMENT = "2026-11-25T08:30:00Z"
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE...\n-----END PUBLIC KEY-----\n"
_ASSERTION = "eyJhbGciOiJFUzM4NCJ9.eyJpc3MiOiJob3NwaXRhbC1hIn0.c2lnbmF0dXJl"
_TOKEN = "kHn2vXl0c3V6b3JpZ2luYWx0b2tlbg"  # noqa: S105 - an example
_SITE = {"site": "hospital-a", "enrolled": _MOMENT, "key_fingerprint": _DIGEST}
_PRESET = get_preset("tiny")


def _manifest() -> dict[str, Any]:
    defaults = {
        "adapter": _PRESET.adapter,
        "adaptation": _PRESET.adaptation,
        "sampling": _PRESET.sampling,
        "predictor": _PRESET.predictor,
        "genes": 250,
    }
    stain = {"method": "macenko", "matrix": [[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]], "max_concentration": [1.9, 1.0]}
    manifest = Manifest.model_validate(
        {
            "organ": "mob",
            "number": 1,
            "created": _MOMENT,
            "preset": _PRESET.name,
            "backbone": _PRESET.backbone,
            "diffusion": _PRESET.diffusion,
            "stain": stain,
            "defaults": defaults,
            "weights_bytes": 2_400_000,
            "weights_sha256": _DIGEST,
            "tensors": {"unet.conv_in.bias": {"shape": [32], "dtype": "F32"}},
            "provenance": {
                "images": 11,
                "tiles": 4200,
                "training": _PRESET.pretraining,
                "steps_done": 2000,
                "seed": 0,
                "software": {"torch": "2.13.0"},
            },
            "metrics": {"validation_loss": 0.041},
            "summary": "Eleven sections of the olfactory bulb.",
        }
    )
    return manifest.model_dump(mode="json")


_SUMMARY = {
    "organ": "mob",
    "number": 1,
    "created": _MOMENT,
    "preset": "tiny",
    "image_px": 64,
    "patch_um": 200.0,
    "weights_bytes": 2_400_000,
    "weights_sha256": _DIGEST,
    "summary": "Eleven sections of the olfactory bulb.",
}
_PLAN = {"organ": "mob", "images": "mob-sections", "preset": "small", "run": "mob-small", "um_per_px": 2.75, "steps": 9000}
_TRAINING = {
    "training_id": "5f0c9b7e21d34a86",
    "run": "mob-small",
    "state": "running",
    "plan": _PLAN | {"seed": 0},
    "queued": _MOMENT,
    "started": _MOMENT,
    "updated": _MOMENT,
    "ended": None,
    "stage": "pretrain",
    "step": 4200,
    "steps": 9000,
    "eta_seconds": 1420,
    "loss": 0.0461,
    "crashes": 0,
    "error": None,
}
EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    Health: {"status": "ok", "time": _MOMENT},
    Catalogue: {"releases": [_SUMMARY]},
    Manifest: _manifest(),
    EnrolmentRequest: {"token": _TOKEN, "public_key_pem": _PUBLIC_KEY},
    EnrolmentReply: _SITE,
    TokenRequest: {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": _ASSERTION,
    },
    AccessToken: {"access_token": _TOKEN, "token_type": "Bearer", "expires_in": 600},
    KeyRotation: {"public_key_pem": _PUBLIC_KEY, "proof": _ASSERTION},
    SiteReply: _SITE | {"state": "active"},
    LinkReply: {"site": "hospital-a", "state": "offline", "since": "2026-11-25T08:12:30Z", "time": _MOMENT},
    SiteRecord: {
        "name": "hospital-a",
        "state": "active",
        "added": _MOMENT,
        "enrolled": _MOMENT,
        "key_fingerprint": _DIGEST,
        "last_seen": _MOMENT,
        "software": "0.1.0",
    },
    ImageFolder: {"name": "mob-sections", "corpus": False},
    TrainingPlan: _PLAN,
    TrainingSummary: _TRAINING,
    TrainingView: _TRAINING | {"curve": [{"step": 21, "loss": 0.93}, {"step": 42, "loss": 0.41}], "metrics": {}},
}


def completed(description: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI document with examples, without the refusals that FastAPI takes for granted and we never give."""
    for call in _calls(description):
        unreadable = call["responses"].get("422", {}).get("content", {})
        if unreadable and ProblemResponse.media_type not in unreadable:
            del call["responses"]["422"]
        for part in (call.get("requestBody", {}), *(call["responses"].get(status, {}) for status in ("200", "201"))):
            for content in part.get("content", {}).values():
                _exemplify(content)
    return description


def _calls(description: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for calls in description["paths"].values():
        yield from calls.values()


def _exemplify(content: dict[str, Any]) -> None:
    schema = content.get("schema", {})
    name = schema.get("$ref", schema.get("items", {}).get("$ref", "")).rpartition("/")[2]
    for model, example in EXAMPLES.items():
        if model.__name__ == name:
            content["example"] = [example] if "items" in schema else example
