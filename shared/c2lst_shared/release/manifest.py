"""What a signed release says about itself.

A release is three TUF targets under `ORGAN/NUMBER/`: `manifest.json` (this model), `weights.safetensors` (the EMA backbone)
and `samples.png` (unconditional samples). The manifest fixes the exact tensors of the weights file, so that a loader knows
names, shapes, dtypes and size before it opens it. Nothing here imports torch or touches a file.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from c2lst_shared.errors import BadArtefact
from c2lst_shared.presets import (
    AdapterConfig,
    BackboneConfig,
    Config,
    DiffusionConfig,
    PredictorConfig,
    SamplingConfig,
    TrainingConfig,
)

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
SAMPLES = "samples.png"
MAX_MANIFEST_BYTES = 1 << 20

NAME_PATTERN = r"[a-z][a-z0-9-]{0,31}"  # of organs and of sites
Organ = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Dtype = Literal["F32", "BF16", "F16"]  # safetensors' spelling
Count = Annotated[int, Field(ge=0)]


class StainReference(Config):
    """The target of stain normalisation: every site normalises to it, because the backbone was trained on it.

    Macenko et al. 2009; `matrix` rows are unit optical-density vectors of haematoxylin and eosin (RGB order),
    `max_concentration` how strong the two get in the reference slide (images/stain.py says how that is measured).
    """

    method: Literal["macenko", "vahadane"]
    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]
    max_concentration: tuple[float, float]


class TensorSpec(Config):
    """Shape and dtype of one tensor in the weights file."""

    shape: tuple[Count, ...]
    dtype: Dtype


class Provenance(Config):
    """Where the weights come from: numbers about the corpus and the training, never a path or a file name."""

    images: Count
    tiles: Count
    training: TrainingConfig
    steps_done: Count
    seed: int
    software: dict[str, str]  # package -> version


class SiteDefaults(Config):
    """What the preset suggests to a site that starts from this release."""

    adapter: AdapterConfig
    adaptation: TrainingConfig
    sampling: SamplingConfig
    predictor: PredictorConfig
    genes: int


class Manifest(BaseModel):
    """One release."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    organ: Organ
    number: Annotated[int, Field(ge=1)]
    created: datetime
    preset: str
    backbone: BackboneConfig
    diffusion: DiffusionConfig
    stain: StainReference
    defaults: SiteDefaults
    weights_bytes: Count
    weights_sha256: Sha256
    tensors: dict[str, TensorSpec]
    provenance: Provenance
    metrics: dict[str, float]  # name -> value, for example validation_loss
    summary: str = ""  # the model card's prose, by the publisher

    @property
    def name(self) -> str:
        """The release's name, for example `mob/1`."""
        return f"{self.organ}/{self.number}"


def parse_manifest(content: bytes) -> Manifest:
    """Return the manifest in `content`, the bytes of a manifest.json.

    Raises:
        BadArtefact: it is longer than a manifest may be, or not a manifest that this version of c2lst understands.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise BadArtefact(f"The manifest has {len(content)} bytes, more than {MAX_MANIFEST_BYTES}; do not use this release.")
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "document"
        raise BadArtefact(
            f"The manifest's {where} cannot be used ({first['msg']}); the release may need a newer c2lst, or is damaged."
        ) from error
