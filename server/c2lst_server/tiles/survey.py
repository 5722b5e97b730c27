"""The first pass over the sources of a corpus: which can be used, which of their tiles are fit, how they are stained.

Every source is looked at once, in one of several processes, and what was found is kept in a cache by its digest: another
image beside it, or a stop in the middle, does not have it looked at again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from c2lst_server.tiles.look import look_at
from c2lst_server.tiles.settings import CorpusSettings
from c2lst_server.tiles.sources import Source
from c2lst_server.tiles.survey_cache import Surveyed, cached, keep
from c2lst_shared.errors import BadInput
from c2lst_shared.images.stain import SlideStain
from c2lst_shared.processes import Spread
from c2lst_shared.progress import Progress

ERRORS_SHOWN = 5


@dataclass(frozen=True)
class _Task:
    source: Source
    sha256: str
    settings: CorpusSettings
    common: SlideStain | None
    cache: Path


def survey(
    sources: Sequence[Source],
    digests: Sequence[str],
    settings: CorpusSettings,
    *,
    common: SlideStain | None,
    cache: Sequence[Path],
    spread: Spread,
    progress: Progress,
) -> list[Surveyed]:
    """Look at every source once; all that is wrong is said together, so that a large folder is mended in one go.

    Args:
        sources: slides and groups of tiles.
        digests: theirs.
        settings: of the corpus.
        common: stain that groups with too few tiles of their own borrow.
        cache: for each source, the file that keeps what was found.
        spread: over which processes.
        progress: where to say how far it is.

    Raises:
        BadInput: a source cannot be used.
    """
    found, problems = [], []
    progress.start("surveying images", len(sources))
    tasks = [
        _Task(source, digest, settings, common, path) for source, digest, path in zip(sources, digests, cache, strict=True)
    ]
    for source, result in zip(sources, spread(_survey_task, tasks), strict=True):
        if isinstance(result, Surveyed):
            found.append(result)
        else:
            problems.append(str(result))
        progress.advance(1, source.name)
    _refuse(problems, len(sources))
    return found


def check_not_empty(surveyed: Sequence[Surveyed], settings: CorpusSettings, folder: Path) -> None:
    """Refuse a folder of which no tile is left.

    Raises:
        BadInput: with the reasons for which tiles were refused.
    """
    if any(len(each.places) for each in surveyed):
        return
    refused = sum((Counter(each.finding.refused) for each in surveyed), Counter[str]())
    if refused:
        reasons = ", ".join(f"{count} {reason}" for reason, count in refused.most_common())
        raise BadInput(
            f"No tile in {folder} is fit to learn from ({reasons}); look at the images, or pass --no-quality-filter."
        )
    raise BadInput(
        f"No tile of {settings.patch_um:g} um in {folder} shows {settings.min_tissue:.0%} tissue; lower "
        "--min-tissue or check --um-per-px."
    )


def _survey_task(task: _Task) -> Surveyed | BadInput:
    """Look at one source, in a process of the pool; what is wrong comes back as a result, to be said with the rest."""
    known = cached(task.cache, task.source.name, task.sha256)
    if known is not None:
        return known
    try:
        found = look_at(task.source, task.sha256, task.settings, task.common)
    except BadInput as error:
        return error
    if found.finding.stain is not task.common:  # which depends on what else is in the folder
        keep(task.cache, found)
    return found


def _refuse(problems: Sequence[str], images: int) -> None:
    if len(problems) == 1:
        raise BadInput(problems[0])
    if problems:
        more = f" (and {len(problems) - ERRORS_SHOWN} more)" if len(problems) > ERRORS_SHOWN else ""
        raise BadInput(f"{len(problems)} of {images} images cannot be used: {' '.join(problems[:ERRORS_SHOWN])}{more}")
