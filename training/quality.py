"""Quality of modality (Cosmo, MobiCom 2022): do unlabelled features cluster, about as often as there are classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

MOST_WINDOWS = 400  # of a person
COMPONENTS = 8
SAME = 1e-5  # between features: what rounding leaves where a sensor shows nothing, as a covered camera


@dataclass(frozen=True)
class Quality:
    """What was found in one modality: the Hopkins statistic and the number of clusters, means over people, and q."""

    hopkins: float
    clusters: float
    q: float


def quality_of_modality(features: np.ndarray, people: np.ndarray, classes: int, seed: int) -> Quality:
    """q = H / c with H the Hopkins statistic and c = |clusters found - classes|, at least 1.

    H and the number of clusters are means over people, who are looked at one by one. Each does an activity in a way of
    their own: in the windows of several, every person's repetitions of it are a cluster, more than there are classes.

    Features that are all the same have one cluster and hardly any quality.

    Both are taken in the first principal components: distances say little in many dimensions, and the box around
    correlated features is nearly empty, which would call anything clustered.

    Args:
        features: (N, D) of unlabelled windows.
        people: (N,) whose they are. Who has fewer than three windows is left out, where anybody has more.
        classes: how many activities there are.
        seed: of the samples and of k-means.
    """
    random = np.random.default_rng(seed)
    persons = [features[people == person] for person in np.unique(people)]
    found = []
    for own in [own for own in persons if len(own) > 2] or [features]:
        if len(own) > MOST_WINDOWS:
            own = own[random.choice(len(own), MOST_WINDOWS, replace=False)]
        if np.ptp(own, axis=0).max() < SAME:  # in components of rounding errors anything may be found
            found.append((1e-3, 1))  # not 0, for a weight is positive
            continue
        components = PCA(min(COMPONENTS, *own.shape), random_state=seed).fit_transform(own)
        found.append(
            (hopkins_statistic(components, random), number_of_clusters(components, most=2 * classes, seed=seed))
        )
    hopkins, clusters = map(float, np.mean(found, axis=0))
    return Quality(hopkins, clusters, hopkins / max(abs(clusters - classes), 1))


def hopkins_statistic(points: np.ndarray, random: np.random.Generator) -> float:
    """Clusterability of points (N, D): about 0.5 when spread evenly, towards 1 when clustered.

    Compares, for a tenth of the points (at least ten), the distance to the nearest other point with that from places
    drawn uniformly in the points' bounding box (Hopkins and Skellam, 1954; distances to the first power, which stay
    informative in several dimensions).
    """
    count = min(len(points) - 1, max(10, len(points) // 10))
    neighbours = NearestNeighbors(n_neighbors=2).fit(points)
    places = random.uniform(points.min(0), points.max(0), (count, points.shape[1]))
    from_places = neighbours.kneighbors(places, n_neighbors=1)[0][:, 0].sum()
    chosen = points[random.choice(len(points), count, replace=False)]
    from_points = neighbours.kneighbors(chosen, n_neighbors=2)[0][:, 1].sum()
    return float(from_places / (from_places + from_points + 1e-12))


def number_of_clusters(points: np.ndarray, most: int, seed: int) -> int:
    """The k from 2 to ``most`` whose k-means clusters of points (N, D) have the highest mean silhouette.

    The silhouette (Rousseeuw, 1987) is bounded and compares clusterings of different k without a reference, where
    the within-cluster variance always falls with k.
    """
    tried = range(2, min(most, len(points) - 1) + 1)

    def silhouette(k: int) -> float:
        labels = KMeans(k, n_init=3, random_state=seed).fit_predict(points)
        return float(silhouette_score(points, labels)) if len(set(labels)) > 1 else -1.0

    return max(tried, key=silhouette, default=1)


def quality_weights(qualities: list[Quality]) -> tuple[float, ...]:
    """beta_QoM_j = q_j / sum q."""
    total = sum(quality.q for quality in qualities)
    return tuple(quality.q / total for quality in qualities)
