"""The study's tables as CSV files: one row per line, intervals as three columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from c2lst_client.evaluate.results import Interval
from c2lst_client.study.results import StudyResult
from c2lst_shared import atomic


def write_tables(folder: Path, result: StudyResult) -> list[Path]:
    """Write every table of a study into `folder`; return the files."""
    tables: dict[str, Sequence[Mapping[str, object]]] = {
        "efficiency": [_flat(row) for row in result.efficiency],
        "ratios": [_flat(row) for row in result.ratios],
        "controls": [_flat(row) for row in result.controls],
        "arms": list(_arms(result)),
        "genes": list(_genes(result)),
    }
    return [_write(folder / f"{name}.csv", rows) for name, rows in tables.items() if rows]


def _flat(row: BaseModel) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in type(row).model_fields:
        value = getattr(row, name)
        if isinstance(value, Interval):
            found |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
        else:
            found[name] = value
    return found


def _arms(result: StudyResult) -> Iterable[dict[str, object]]:
    """One row per division, arm and seed."""
    for division in result.divisions:
        for arm in division.arms:
            seeds: Sequence[int | None] = arm.seeds or [None]  # the mean is trained with none
            for seed, mae, r in zip(seeds, arm.mae_per_seed, arm.pearson_per_seed, strict=True):
                yield {
                    "division": division.label,
                    "method": division.method,
                    "fraction": division.fraction,
                    "split": division.seed,
                    "train_spots": division.train_spots,
                    "test_spots": division.test_spots,
                    "arm": arm.label,
                    "seed": seed,
                    "mae": mae,
                    "pearson": r,
                }


def _genes(result: StudyResult) -> Iterable[dict[str, object]]:
    """One row per division, arm and gene, genes by their rank in the division's panel."""
    for division in result.divisions:
        for arm in division.arms:
            for rank, (mae, r) in enumerate(zip(arm.mae_per_gene, arm.pearson_per_gene, strict=True), 1):
                yield {"division": division.label, "arm": arm.label, "gene_rank": rank, "mae": mae, "pearson": r}


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic.write_text(path, text.getvalue())
    return path
