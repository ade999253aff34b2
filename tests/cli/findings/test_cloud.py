"""The cloud of latents: compared with the decoder by differences, with straight lines, and with a slow shortest path."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.batching.plan import DEFAULT_PLAN
from geovq.cli.findings.cloud import LINE, ends_along, main_directions, make_cloud
from geovq.cli.findings.cloud_section import cloud_section
from geovq.cli.findings.neighbours import EUCLIDEAN, PULLBACK
from geovq.cli.findings.windows import window_of
from geovq.decoder.adapters import single
from geovq.metric.batched import token_metrics
from tests.reference import shortest_paths

MAX_TOKENS = 30


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(2)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((32, 40, 3), (24, 32, 3))]


@pytest.fixture(scope="module")
def cloud(tokenizer, images):
    done: list[int] = []
    found = make_cloud(tokenizer, images, DEFAULT_PLAN, done.append, max_tokens=MAX_TOKENS)
    assert sum(done) == MAX_TOKENS
    return found


def test_windows_hold_their_token_and_stay_in_the_grid():
    grid = np.arange(8 * 9).reshape(8, 9)
    for at in np.ndindex(grid.shape):
        window = window_of(at, grid.shape, 5)
        part = grid[window.rows, window.columns]
        assert part.shape == (5, 5)
        assert part[window.inside] == grid[at]
    assert window_of((4, 4), grid.shape, 5).inside == (2, 2)
    assert grid[window_of((1, 2), grid.shape, None)[:2]].shape == grid.shape


def test_magnifications_are_changes_of_the_image_by_small_steps(tokenizer, images, cloud):
    decode, eps = single(tokenizer.decoder), 1e-2
    (grid,) = np.asarray(tokenizer.encoder(jnp.asarray(images[1][None] / 255.0, jnp.float32)))
    (at,) = [tuple(map(int, at)) for at in np.ndindex(grid.shape[:2]) if (grid[at] == cloud.latents).all(axis=1).any()][
        :1
    ]
    changes = []
    for axis in np.eye(4, dtype=np.float32):
        ends = [grid.copy() for _ in range(2)]
        ends[0][at] += eps * axis
        ends[1][at] -= eps * axis
        changes.append(np.linalg.norm(np.asarray(decode(ends[0])) - np.asarray(decode(ends[1]))) / (2 * eps))
    row = int(np.flatnonzero((cloud.latents == grid[at]).all(axis=1))[0])
    assert cloud.magnifications[row] == pytest.approx(np.sqrt(np.mean(np.square(changes))), rel=0.05)


def test_edges_are_measured_by_both_measures(tokenizer, images, cloud):
    steps = cloud.latents[cloud.edges[:, 0]] - cloud.latents[cloud.edges[:, 1]]
    np.testing.assert_allclose(cloud.lengths[EUCLIDEAN], np.linalg.norm(steps, axis=1), rtol=1e-5)
    grid = np.asarray(tokenizer.encoder(jnp.asarray(images[1][None] / 255.0, jnp.float32)))  # smaller than a window
    metrics = token_metrics(single(tokenizer.decoder), grid)[0].reshape(-1, 4, 4)
    places = [np.flatnonzero((cloud.latents == z).all(axis=1)) for z in grid.reshape(-1, 4)]
    rows = {int(found[0]): i for i, found in enumerate(places) if len(found)}
    inside = [e for e, ends in enumerate(cloud.edges.tolist()) if rows.keys() >= set(ends)]
    assert inside
    for e in inside:
        ends = [np.sqrt(steps[e] @ metrics[rows[int(end)]] @ steps[e]) for end in cloud.edges[e]]
        assert cloud.lengths[PULLBACK][e] == pytest.approx(np.mean(ends), rel=1e-3)


def test_paths_are_the_shortest_of_their_graph(cloud):
    assert len(cloud.routes) == 3
    for films in cloud.routes:
        for name in (EUCLIDEAN, PULLBACK):
            weights = {
                tuple(edge): length for edge, length in zip(cloud.edges.tolist(), cloud.lengths[name], strict=True)
            }
            nodes = films[name].nodes
            assert (nodes[0], nodes[-1]) == tuple(films[LINE].nodes)
            length = sum(weights[min(a, b), max(a, b)] for a, b in itertools.pairwise(nodes))
            graph = np.full((MAX_TOKENS, MAX_TOKENS), np.inf)
            for (a, b), weight in weights.items():
                graph[a, b] = graph[b, a] = weight
            assert length == pytest.approx(shortest_paths(graph)[nodes[0], nodes[-1]], rel=1e-5)


def test_films_of_a_route_begin_and_end_alike_and_a_line_is_no_shorter_than_its_chord(cloud):
    for films in cloud.routes:
        line = films[LINE].frames
        assert len(line) == 9
        for film in films.values():
            np.testing.assert_allclose(film.frames[[0, -1]], line[[0, -1]], atol=1e-6)
            assert film.length >= np.linalg.norm(line[-1] - line[0]) - 1e-5
            assert film.frames.shape == line.shape


def test_the_section_says_what_each_film_is(cloud):
    routes = cloud_section(cloud).content["routes"]
    assert [route["title"] for route in routes] == ["Path 1", "Path 2", "Path 3"]
    for route, films in zip(routes, cloud.routes, strict=True):
        for picture, film in zip(route["films"], (films[name] for name in (LINE, EUCLIDEAN, PULLBACK)), strict=True):
            assert picture.alt.endswith(f"the image changes by {film.length:.3g} in all")
            between = len(film.nodes) - 2
            assert ("through" in picture.alt) == (between > 0)


def test_ends_lie_on_the_main_directions(rng):
    latents = rng.normal(size=(100, 3)).astype(np.float32) * [10, 3, 1e-6]
    directions, parts = main_directions(latents)
    np.testing.assert_allclose(np.abs(directions), np.eye(2, 3), atol=0.1)
    assert parts.sum() == pytest.approx(1)
    for axis, (low, high) in enumerate(ends_along(latents, 3)):
        ranks = np.argsort(np.argsort(latents @ directions[axis]))
        assert (ranks[low], ranks[high]) == (5, 94)


@pytest.mark.parametrize("size", [(8, 8), (8, 16)])
def test_one_token_or_two_are_a_cloud_too(tokenizer, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    section = cloud_section(make_cloud(tokenizer, [image], DEFAULT_PLAN))
    assert len(section.content["charts"]) == 2
    assert len(section.content["routes"]) == (size != (8, 8))


def test_equal_tokens_are_one(tokenizer):
    found = make_cloud(tokenizer, [np.zeros((8, 8, 3), np.uint8)] * 3, DEFAULT_PLAN)
    assert len(found.latents) == 1
