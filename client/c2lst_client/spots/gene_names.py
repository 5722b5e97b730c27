"""What a table calls its genes: symbols or Ensembl ids, of which species; and one column for each gene.

Nothing is looked up: an Ensembl id carries its species in its letters, and symbols are written in capitals for human and with
a capital first letter for mouse. Names are never translated into one another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse

MIN_NAMES = 20  # fewer say nothing about a species, unless they are Ensembl ids
MOST = 0.6  # of the names must agree; real tables reach 0.93, clones and predicted genes being the rest
# The version and, after it, GENCODE's mark of the Y copy of a gene that X has as well: another gene to the counter.
_ENSEMBL = re.compile(r"(ENS([A-Z]{3,4})?G\d{11})(?:\.\d+)?(_PAR_Y)?")
_ENSEMBL_SPECIES = {"": "human", "MUS": "mouse", "RNO": "rat", "DAR": "zebrafish", "SSC": "pig", "MMU": "macaque"}
_HUMAN = re.compile(r"[A-Z][A-Z0-9.-]*(?:orf\d+[A-Z]?)?")  # BRCA2, C1orf112
_MOUSE = re.compile(r"(?=.*[a-z])(?!.*orf\d)[A-Z0-9][A-Za-z0-9.-]*")  # Brca2, 0610005C13Rik
_MITOCHONDRIAL = {"MT-": "human", "mt-": "mouse", "Mt-": "rat"}  # rat symbols look like those of mouse but for these
_MITOCHONDRIAL_GENES = ("ND1", "ND2", "ND4", "CO1", "CO2", "CO3", "ATP6", "CYTB")
# 10x barcodes, bins of Visium HD, and places on an array: what may stand where genes should.
_BARCODE = re.compile(r"[ACGT]{14,}(?:-\w+)?|s_\d+um_\d+_\d+(?:-\w+)?|X?-?[\d.]+x-?[\d.]+")


class Naming(NamedTuple):
    """How most of a table's genes are named."""

    kind: str  # `symbols`, `Ensembl ids`, or `names` when they are neither
    species: str | None  # None = cannot be told

    def __str__(self) -> str:
        return f"{self.species} {self.kind}" if self.species else self.kind


def naming(names: Sequence[str]) -> Naming:
    """Recognise how `names` are given: by the most of them, and symbols only when there are at least `MIN_NAMES`."""
    prefixes = Counter(found[2] or "" for name in names if (found := _ENSEMBL.fullmatch(name)))
    if prefixes.total() > MOST * len(names):
        prefix, times = prefixes.most_common(1)[0]
        species = _ENSEMBL_SPECIES.get(prefix, f"ENS{prefix}")
        return Naming("Ensembl ids", species if times > MOST * len(names) else None)
    if len(names) < MIN_NAMES:
        return Naming("names", None)
    for pattern, species in ((_HUMAN, "human"), (_MOUSE, "mouse")):
        if sum(pattern.fullmatch(name) is not None for name in names) > MOST * len(names):
            return Naming("symbols", _by_mitochondria(names) or species)
    return Naming("names", None)


def without_version(name: str) -> str:
    """Return an Ensembl id without its version (`ENSG00000139618.15`); any other name as it is."""
    found = _ENSEMBL.fullmatch(name)
    return found[1] + (found[3] or "") if found else name


def look_transposed(row_names: Sequence[str], column_names: Sequence[str]) -> bool:
    """Say whether genes stand where spots should and the other way round."""
    rows_are_genes = naming(row_names).kind != "names" and not _are_barcodes(row_names)
    return rows_are_genes and _are_barcodes(column_names)


def merge_columns(
    counts: scipy.sparse.csr_matrix, genes: Sequence[str], gene_ids: Sequence[str] | None = None
) -> tuple[scipy.sparse.csr_matrix, list[str], str | None]:
    """Make one column for each gene.

    Args:
        counts: S x (number of `genes`).
        genes: names of the columns; Ensembl ids may carry versions, which are removed.
        gene_ids: Ensembl ids of the same columns, where a table has both; they only say the species.

    Returns:
        Counts with the columns of one gene summed, the genes in the order of first appearance, and a sentence for the user
        on what they are and what was done; None when there is nothing to say.
    """
    names = [without_version(gene) for gene in genes]
    unique = list(dict.fromkeys(names))
    kind, species = naming(unique)
    if gene_ids:
        species = naming([without_version(each) for each in gene_ids]).species or species
    said = []
    if versions := sum(name != gene for name, gene in zip(names, genes, strict=True)):
        said.append(f"{versions:,} came with a version, which was removed")
    if twice := [gene for gene, times in Counter(names).items() if times > 1]:
        came = "1 name came" if len(twice) == 1 else f"{len(twice):,} names came"
        said.append(f"{came} more than once and {'was' if len(twice) == 1 else 'were'} summed, such as {twice[0]}")
        counts = counts @ _joining(names, unique)
    sentence = "; ".join([f"Genes: {len(unique):,} {Naming(kind, species)}", *said]) + "."
    return counts, unique, sentence if said or species else None


def mismatch(wanted: Sequence[str], present: Sequence[str]) -> str | None:
    """Say in words how `wanted` and `present` genes differ as a whole; None when both are named alike, or one is not known."""
    ours, theirs = naming(wanted), naming(present)
    if "names" in (ours.kind, theirs.kind):
        return None
    other_species = ours.species and theirs.species and ours.species != theirs.species
    return f"{ours} and the counts have {theirs}" if other_species or ours.kind != theirs.kind else None


def _by_mitochondria(names: Sequence[str]) -> str | None:
    found = Counter(name[:3] for name in names if name[:3] in _MITOCHONDRIAL and name[3:].upper() in _MITOCHONDRIAL_GENES)
    return _MITOCHONDRIAL[found.most_common(1)[0][0]] if found else None


def _are_barcodes(names: Sequence[str]) -> bool:
    return sum(_BARCODE.fullmatch(name) is not None for name in names) > MOST * len(names)


def _joining(names: Sequence[str], unique: Sequence[str]) -> scipy.sparse.csr_matrix:
    """Return the (number of names) x (number of unique) matrix that sums columns of one name."""
    target = {gene: column for column, gene in enumerate(unique)}
    pairs = (np.ones(len(names), np.int64), (np.arange(len(names)), [target[name] for name in names]))
    return scipy.sparse.csr_matrix(pairs, shape=(len(names), len(unique)))
