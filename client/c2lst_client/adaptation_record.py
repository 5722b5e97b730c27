"""What an adapter was made from, as it is written beside the adapter; read without torch by whoever only shows it."""

from __future__ import annotations

from c2lst_client.dp_budget import DpBudget, DpTarget
from c2lst_client.spots.records import Record
from c2lst_client.spots.split import Method
from c2lst_shared.presets import AdapterConfig, TrainingConfig

RECORD = "record.json"
PANEL = "panel.json"
SPLIT = "split.json"


class AdaptationSettings(Record):
    """All that decides what an adapter becomes, besides the release and the spots."""

    fraction: float
    method: Method
    seed: int
    genes: int
    adapter: AdapterConfig
    training: TrainingConfig
    dp: DpTarget | None = None  # differential privacy that was asked for


class AdaptationRecord(Record):
    """What an adapter was made from."""

    release: str
    weights_sha256: str
    spots: str  # fingerprint of the prepared spots
    panel: str  # fingerprint
    split: str  # fingerprint
    settings: AdaptationSettings
    dp: DpBudget | None = None  # what the training spends of it
