"""The panel: which genes, in which order, and how raw counts become the z-scores that models see and predict.

Counts are divided by the spot's library size (over all genes), multiplied by `target_sum`, log1p-transformed, and z-scored
per gene. Everything that is estimated, the choice of genes included, comes from the training spots only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse
from pydantic import Field, model_validator

from c2lst_client.spots.gene_names import mismatch
from c2lst_client.spots.records import Record
from c2lst_client.spots.spotset import Spots
from c2lst_shared.errors import BadInput

MIN_SD = 1e-6  # of log-normalised expression; rounding alone gives about 1e-16

Positive = Annotated[float, Field(gt=0)]


class Panel(Record):
    """Ordered genes with their normalisation. G = genes in the panel."""

    format: Literal[1] = 1
    genes: tuple[str, ...]
    mean: tuple[float, ...]  # of log-normalised expression over the training spots
    sd: tuple[Positive, ...]
    target_sum: Positive  # the median library size of the training spots
    train_spots: int

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if not len(self.genes) == len(set(self.genes)) == len(self.mean) == len(self.sd) > 0:
            raise ValueError("genes, mean and sd differ in length, a gene comes twice, or there are none")
        return self

    def transform(self, counts: scipy.sparse.csr_matrix, genes: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the z-scores of the panel's genes, S x G float32.

        Args:
            counts: S x (number of `genes`), raw, over all measured genes: the library size needs them.
            genes: the names of the columns of `counts`.

        Raises:
            BadInput: genes of the panel are not among `genes`; the sentence says so when species or kind of name differ.
        """
        column_of = {gene: column for column, gene in enumerate(genes)}
        missing = [gene for gene in self.genes if gene not in column_of]
        if missing and (unlike := mismatch(self.genes, genes)):
            raise BadInput(f"The panel has {unlike}; use counts with the panel's kind of gene names, or make a new panel.")
        if missing:
            raise BadInput(
                f"{len(missing)} of the panel's {len(self.genes)} genes are missing from the counts, "
                f"such as {', '.join(missing[:3])}; "
                "use counts of the same genes, or make a new panel."
            )
        wanted = scipy.sparse.csr_matrix(counts)[:, [column_of[gene] for gene in self.genes]]
        expression = log_normalised(wanted, library_sizes(counts), self.target_sum).toarray()
        return ((expression - np.array(self.mean)) / np.array(self.sd)).astype(np.float32)


def fit_panel(spots: Spots, train_index: Sequence[int] | npt.NDArray[np.intp], genes: int = 250) -> Panel:
    """Choose the most expressed genes over the training spots and estimate their normalisation there.

    Args:
        spots: with counts over all measured genes.
        train_index: rows of the training spots.
        genes: how many genes the panel gets; fewer if fewer vary among the training spots.

    Raises:
        BadInput: no gene is asked for, or none varies among the training spots.
    """
    if genes < 1:
        raise BadInput(f"A panel of {genes} genes is empty; ask for at least 1, usually 250.")
    counts = scipy.sparse.csr_matrix(spots.counts)[np.asarray(train_index, dtype=np.intp)]
    libraries = library_sizes(counts)
    target_sum = float(np.median(libraries)) if libraries.any() else 0.0
    expression = log_normalised(counts, libraries, target_sum)
    mean, sd = _moments(expression)
    varying = [column for column in range(len(spots.genes)) if sd[column] > MIN_SD]
    if not varying:
        raise BadInput(f"No gene varies among the {counts.shape[0]} training spots; check the counts or train on more spots.")
    # Ties go by name, so that the order of the table's columns does not matter.
    chosen = sorted(varying, key=lambda column: (-mean[column], spots.genes[column]))[:genes]
    return Panel(
        genes=tuple(spots.genes[column] for column in chosen),
        mean=tuple(float(mean[column]) for column in chosen),
        sd=tuple(float(sd[column]) for column in chosen),
        target_sum=target_sum,
        train_spots=counts.shape[0],
    )


def library_sizes(counts: scipy.sparse.csr_matrix) -> npt.NDArray[np.float64]:
    """Return the total count of each spot, S."""
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()


def log_normalised(
    counts: scipy.sparse.csr_matrix, libraries: npt.NDArray[np.float64], target_sum: float
) -> scipy.sparse.csr_matrix:
    """Return log1p(counts / library * target_sum), S x G; a spot without counts stays zero."""
    factor = np.divide(target_sum, libraries, out=np.zeros_like(libraries), where=libraries > 0)
    normalised = scipy.sparse.csr_matrix(scipy.sparse.diags(factor) @ counts)
    return normalised.log1p()


def _moments(matrix: scipy.sparse.csr_matrix) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and standard deviation of each column, without making the matrix dense.

    In two passes: the difference of mean square and squared mean would lose small variances.
    """
    rows, columns = matrix.shape
    mean = np.asarray(matrix.sum(axis=0)).ravel() / rows
    squares = (matrix.data - mean[matrix.indices]) ** 2
    present = np.bincount(matrix.indices, minlength=columns)
    total = np.bincount(matrix.indices, weights=squares, minlength=columns) + (rows - present) * mean**2
    return mean, np.sqrt(total / rows)
