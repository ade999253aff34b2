"""Clusters along a swiss roll: GeodesicKMedoids beside k-means, which jumps from one layer to the next.

python -m examples.swiss_roll                      # some seconds -> swiss_roll.png
python -m examples.swiss_roll --points 300         # a trial
"""

import argparse
import pathlib

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.datasets import make_swiss_roll

from geovq import GeodesicKMedoids


def spread(labels: Int[np.ndarray, " n"], along: Float[np.ndarray, " n"]) -> float:
    """How far a cluster reaches along the roll: the mean over clusters of largest minus least position."""
    return float(np.mean([np.ptp(along[labels == label]) for label in np.unique(labels)]))


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Clusters points in both ways, prints how far clusters reach along the roll, and draws them rolled and unrolled."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--points", type=int, default=3000, help="of the roll (3000)")
    parser.add_argument("--clusters", type=int, default=12, help="of both (12)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("swiss_roll.png"), help="the picture")
    options = parser.parse_args(arguments)
    points, along = make_swiss_roll(options.points, random_state=0)

    geodesic = GeodesicKMedoids(options.clusters, n_neighbors=8, random_state=0).fit(points)
    euclidean = KMeans(options.clusters, n_init=3, random_state=0).fit(points)

    labels = {"GeodesicKMedoids": geodesic.labels_, "k-means": euclidean.labels_}
    found = {name: spread(each, along) for name, each in labels.items()}
    for name, value in found.items():
        print(f"{name:>16}: a cluster reaches {value:.2f} of {np.ptp(along):.2f} along the roll")
    _draw(options.out, points, along, labels)
    return found


def _draw(
    path: pathlib.Path,
    points: Float[np.ndarray, "n 3"],
    along: Float[np.ndarray, " n"],
    labels: dict[str, Int[np.ndarray, " n"]],
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    for row, (name, each) in zip(figure.subplots(2, 2), labels.items(), strict=True):
        row[0].scatter(points[:, 0], points[:, 2], c=each, s=4, cmap="tab20")
        row[0].set(title=f"{name}: the roll from the side", xticks=[], yticks=[], aspect="equal")
        row[1].scatter(along, points[:, 1], c=each, s=4, cmap="tab20")
        row[1].set(title="unrolled", xticks=[], yticks=[])
    figure.savefig(path, dpi=70, metadata={"Software": None})


if __name__ == "__main__":
    main()
