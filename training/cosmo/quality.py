"""Quality of modality (Cosmo, MobiCom 2022): whether unlabelled features form about as many clusters as classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

MOST_WINDOWS = 400  # per person
COMPONENTS = 8
SAME = 1e-5  # between features: rounding errors of a sensor that shows nothing, such as a covered camera


@dataclass(frozen=True)
class Quality:
    """A modality's Hopkins statistic and number of clusters, as means over people, and its q."""

    hopkins: float
    clusters: float
    q: float


def quality_of_modality(features: np.ndarray, people: np.ndarray, classes: int, seed: int) -> Quality:
    """q = H / c with H the Hopkins statistic and c = |clusters found - classes|, at least 1.

    H and the number of clusters are computed for each person and averaged. People differ in how they do an activity, so
    windows of several people form more clusters than there are classes.

    Constant features have one cluster and almost no quality.

    Both are computed on the first principal components. In many dimensions, distances are uninformative, and the
    bounding box of correlated features is nearly empty, so that anything would look clustered.

    Args:
        features: (N, D) features of unlabelled windows.
        people: (N,) the person of each window. People with fewer than three windows are left out if anybody has more.
        classes: the number of activities.
        seed: the seed of the samples and of k-means.
    """
    random = np.random.default_rng(seed)
    persons = [features[people == person] for person in np.unique(people)]
    per_person = []
    for own in [own for own in persons if len(own) > 2] or [features]:
        if len(own) > MOST_WINDOWS:
            own = own[random.choice(len(own), MOST_WINDOWS, replace=False)]
        if np.ptp(own, axis=0).max() < SAME:  # clusters of rounding errors are meaningless
            per_person.append((1e-3, 1))  # not 0, because weights are positive
            continue
        components = PCA(min(COMPONENTS, *own.shape), random_state=seed).fit_transform(own)
        per_person.append(
            (hopkins_statistic(components, random), number_of_clusters(components, most=2 * classes, seed=seed))
        )
    hopkins, clusters = map(float, np.mean(per_person, axis=0))
    return Quality(hopkins, clusters, hopkins / max(abs(clusters - classes), 1))


def hopkins_statistic(points: np.ndarray, random: np.random.Generator) -> float:
    """The clusterability of points (N, D): about 0.5 if they are spread evenly, towards 1 if they are clustered.

    Compares the distance to the nearest other point, for a tenth of the points (at least ten), with the distance from
    uniformly random places in the points' bounding box (Hopkins and Skellam, 1954). Distances are to the first power,
    which is informative in several dimensions too.
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

    The silhouette (Rousseeuw, 1987) is bounded and compares clusterings of different k without a reference. The
    within-cluster variance cannot do that, because it always falls with k.
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
