"""What is known of one slide: its spots, panel, adapter, pairs and what was measured, as far as it was made.

It is read from the small files beside what was made; nothing is loaded, and torch is not needed. What cannot be read is named
and left out, so that one damaged file hides nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from c2lst_client.adaptation_record import PANEL, RECORD, SPLIT, AdaptationRecord
from c2lst_client.evaluate.results import ConditioningResult, CotrainResult
from c2lst_client.privacy.export_rule import Decision, decide
from c2lst_client.privacy.results import PrivacyResult
from c2lst_client.sites import Site
from c2lst_client.spots.pairs import PairSet
from c2lst_client.spots.panel import Panel
from c2lst_client.spots.split import Split
from c2lst_shared.errors import BadInput, C2lstError

RESULT = "result.json"
MOST_BYTES = 64 << 20  # of one of these files

Found = TypeVar("Found")


@dataclass(frozen=True)
class SlideFacts:
    """What was found; None = it was not made yet, or cannot be read."""

    site: Site
    spots: int | None  # that were prepared
    adapter: AdaptationRecord | None
    panel: Panel | None
    split: Split | None
    pairs: int | None
    expression: str  # how the pairs' expression was made: interpolated or observed
    examples: int | None  # patches generated for held-out spots
    conditioning: ConditioningResult | None
    cotrain: CotrainResult | None
    privacy: Decision | None
    troubles: list[str]  # sentences about what cannot be read

    @property
    def study_page(self) -> Path:
        """Where the page of the study is, if there was one."""
        return self.site.study / "study.html"


def read_facts(site: Site) -> SlideFacts:
    """Look at the folder of a slide; nothing is changed."""
    troubles: list[str] = []

    def attempt(path: Path, read: Callable[[], Found]) -> Found | None:
        try:
            if not path.exists():
                return None
            if path.is_file() and path.stat().st_size > MOST_BYTES:
                raise BadInput(f"{path} is larger than such a file ever is.")
            return read()
        except C2lstError as error:
            troubles.append(str(error))
        except (OSError, ValueError):  # a result of an older form, too: its step makes it again
            troubles.append(f"{path} cannot be read; run its step again.")
        return None

    def pairs(folder: Path) -> PairSet | None:
        return attempt(folder / "patches.h5", lambda: PairSet.open(folder))

    adapter, synthetic = site.adapter, pairs(site.synthetic)
    prepared, examples = pairs(site.spots), pairs(site.conditioning)
    measured = site.privacy / RESULT
    return SlideFacts(
        site=site,
        spots=len(prepared) if prepared else None,
        adapter=attempt(adapter / RECORD, lambda: AdaptationRecord.load(adapter / RECORD)),
        panel=attempt(adapter / PANEL, lambda: Panel.load(adapter / PANEL)),
        split=attempt(adapter / SPLIT, lambda: Split.load(adapter / SPLIT)),
        pairs=len(synthetic) if synthetic else None,
        expression=str(synthetic.provenance.get("expression", "")) if synthetic else "",
        examples=len(examples) if examples else None,
        conditioning=attempt(
            site.conditioning / RESULT,
            lambda: ConditioningResult.model_validate_json((site.conditioning / RESULT).read_bytes()),
        ),
        cotrain=attempt(site.cotrain / RESULT, lambda: CotrainResult.model_validate_json((site.cotrain / RESULT).read_bytes())),
        privacy=attempt(measured, lambda: decide(PrivacyResult.model_validate_json(measured.read_bytes()))),
        troubles=troubles,
    )
