"""Real and generated patches as dots on one map, near each other where their features are alike."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.embedding import Features
from c2lst_shared.errors import BadInput

COMPONENTS = 50  # principal components that the map is made from, as van der Maaten and Hinton (2008) do
PERPLEXITY = 30.0
INSTALL = "pip install 'c2lst[umap]'"

Method = Literal["t-sne", "umap"]
Coordinates = npt.NDArray[np.float64]


def shared_space(*features: Features, method: Method = "t-sne", seed: int = 0) -> list[Coordinates]:
    """Lay sets of patches out in two dimensions, all in one fit: maps that were fitted apart do not compare.

    Near dots are alike; far ones, and the sizes of groups, mean little on either kind of map.

    Args:
        features: N x D for each set, such as real, generated and unadapted patches under one encoder.
        method: `t-sne` (van der Maaten and Hinton 2008), or `umap` (McInnes et al. 2018), which needs umap-learn.
        seed: the same one gives the same map.

    Returns:
        N x 2 coordinates for each set, without unit.

    Raises:
        BadInput: there are fewer than five patches, features of several encoders, or no umap-learn.
    """
    if len({one.shape[1] for one in features}) != 1 or sum(map(len, features)) < 5:
        raise BadInput("A map needs at least five patches, all with features of one encoder; encode them again.")
    from sklearn.decomposition import PCA

    together = np.concatenate(features).astype(np.float64)
    components = min(COMPONENTS, *together.shape)
    reduced = PCA(components, svd_solver="full").fit_transform(together)
    placed = _umap(reduced, seed) if method == "umap" else _tsne(reduced, seed)
    return np.split(placed.astype(np.float64), np.cumsum([len(one) for one in features])[:-1])


def _tsne(points: Coordinates, seed: int) -> Coordinates:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points))


def _umap(points: Coordinates, seed: int) -> Coordinates:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a fixed seed takes one core, and that TensorFlow is not there
        try:
            from umap import UMAP
        except ImportError:
            raise BadInput(f"A UMAP needs umap-learn, which is not installed; run: {INSTALL}, or choose t-sne") from None
        neighbours = min(15, len(points) - 1)
        return np.asarray(UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(points))
