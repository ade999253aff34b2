"""Joint and greedy assignment: brute force on a linear decoder, the error that never rises, and what does not change results."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.base import Codebook, Inputs
from geovq.assignment.curvature import BandCurvature, ExactCurvature, ProjectedCurvature, SketchedCurvature
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.nearest import Nearest
from geovq.assignment.whitened import Whitened
from geovq.batching.plan import Plan
from geovq.decoder.adapters import as_partial
from geovq.validation import InputError
from tests import reference

K, SHAPE = 3, (1, 3, 2)
WIDE = (6, 5, 2)
LAYOUT = ("NHWC", "HWIO", "NHWC")
CHEAP = Joint(jacobians=1, corrections=0, dampings=(0.1,))


@pytest.fixture
def case(rng):
    """A curved decoder whose tokens overlap in the image, a codebook, and images with latents and their nearest codes."""
    weights = rng.standard_normal((6, 8)).astype(np.float32)

    def decode(z):
        return jnp.tanh(z.ravel() @ weights / 3).reshape(2, 4, 1)

    latents = rng.standard_normal((20, *SHAPE)).astype(np.float32)
    images = np.asarray(jax.vmap(decode)(latents)) + 0.05 * rng.standard_normal((20, 2, 4, 1)).astype(np.float32)
    codes = rng.standard_normal((K, 2)).astype(np.float32)
    metrics = np.broadcast_to(np.eye(2, dtype=np.float32), (1, 3, 2, 2))
    start = np.argmin(((latents[..., None, :] - codes) ** 2).sum(-1), axis=-1).astype(np.int32)[..., None]
    return as_partial(decode), Codebook(codes[None], metrics), Inputs(latents, images, start=start)


@pytest.fixture
def photograph(rng):
    """A convolutional decoder of a grid that takes a band, and images with latents and their nearest codes."""
    kernel = rng.standard_normal((3, 3, 2, 1)).astype(np.float32)

    def decode(z):
        enlarged = jnp.repeat(jnp.repeat(z, 2, axis=0), 2, axis=1)[None]
        return jnp.tanh(jax.lax.conv_general_dilated(enlarged, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)[0] / 3)

    latents = rng.standard_normal((5, *WIDE)).astype(np.float32)
    images = np.asarray(jax.vmap(decode)(latents)) + 0.05 * rng.standard_normal((5, 12, 10, 1)).astype(np.float32)
    codes = rng.standard_normal((K, 2)).astype(np.float32)
    start = np.argmin(((latents[..., None, :] - codes) ** 2).sum(-1), axis=-1).astype(np.int32)[..., None]
    metrics = np.broadcast_to(np.eye(2, dtype=np.float32), (*WIDE[:2], 2, 2))
    return as_partial(decode), Codebook(codes[None], metrics), Inputs(latents, images, start=start)


def errors(case, tokens):
    """‖D(Ẑ) − x‖² of every image."""
    decode, codebook, inputs = case
    latents = reference.summed_codes(codebook.codes, tokens.reshape(-1, len(codebook.codes)))
    latents = latents.reshape(inputs.latents.shape).astype(np.float32)
    return np.array([np.sum((decode(z) - x) ** 2) for z, x in zip(latents, inputs.images, strict=True)])


def test_one_token_by_hand():
    """Of the codes 0 and 1 the second is nearer to the latent; the image asks for the first."""
    codebook = Codebook(np.array([[[0.0], [1.0]]], np.float32), np.ones((1, 1, 1, 1), np.float32))
    latents, images = np.full((1, 1, 1, 1), 0.9, np.float32), np.zeros((1, 1, 1, 1), np.float32)
    inputs = Inputs(latents, images, start=np.ones((1, 1, 1, 1), np.int32))
    identity = as_partial(lambda z: z)
    found = Joint().solve(identity, codebook, inputs)
    np.testing.assert_array_equal(found.tokens, [[[[0]]]])
    np.testing.assert_allclose(found.costs, [0])
    np.testing.assert_array_equal(Greedy()(identity, codebook, inputs), [[[[0]]]])


def test_it_nearly_finds_the_best_of_all_tokens(case):
    decode, codebook, inputs = case
    found = Joint()(decode, codebook, inputs)
    tried = Greedy(candidates=K, sweeps=3)(decode, codebook, inputs._replace(start=found))
    codes = codebook.codes[0]
    best = np.stack(
        [reference.best_tokens(lambda t, x=x: np.sum((decode(codes[t]) - x) ** 2), SHAPE[:2], K) for x in inputs.images]
    )
    least = errors(case, best[..., None]).mean()
    assert errors(case, inputs.start).mean() > 1.2 * least
    assert errors(case, found).mean() < 1.05 * least
    assert errors(case, tried).mean() < 1.03 * least


@pytest.mark.parametrize("options", [{}, {"directions": 4}, {"probes": 4}])
def test_the_true_error_never_rises_and_is_what_is_said(options, case):
    before = errors(case, case[2].start)
    for jacobians in (1, 2):
        found = Joint(**options, jacobians=jacobians, corrections=1, dampings=(0.0,)).solve(*case)
        after = errors(case, found.tokens)
        np.testing.assert_allclose(found.costs, after, rtol=1e-4, atol=1e-5)
        assert (after <= before + 1e-5).all()
        assert jacobians > 1 or (after < before - 1e-3).any()
        before = after
    decode, codebook, inputs = case
    tried = errors(case, Greedy()(decode, codebook, inputs._replace(start=found.tokens)))
    assert (tried <= after + 1e-5).all()


def test_probes_come_near_whole_jacobians(case):
    """Even with fewer probes than the 6 numbers of a grid."""
    exact = errors(case, CHEAP(*case)).mean()
    found = {probes: errors(case, dataclasses.replace(CHEAP, probes=probes)(*case)).mean() for probes in (3, 200)}
    before = errors(case, case[2].start).mean()
    assert found[200] < 1.05 * exact
    assert before - found[3] > 0.5 * (before - exact)


def test_a_jacobian_that_does_not_fit_is_refused_with_what_would_do(case):
    with pytest.raises(
        InputError, match=r"expected at least .* for latents \(1, 3, 2\).* use Joint\(radius=1\)"
    ) as refused:
        Joint()(*case, plan=Plan(memory=400))
    found = re.search(r"Plan\(memory=(\d+)\)", str(refused.value))
    assert found is not None
    enough = int(found[1])
    np.testing.assert_array_equal(CHEAP(*case, plan=Plan(memory=enough)), CHEAP(*case))
    with pytest.raises(InputError, match="expected at least"):
        Joint()(*case, plan=Plan(memory=enough - 1))


def test_a_table_of_very_many_codes_counts(case, rng):
    """What 100,000 codes cost at each of three tokens is 1.2 MB, for each damping."""
    decode, codebook, inputs = case
    many = codebook._replace(codes=rng.standard_normal((1, 100_000, 2)).astype(np.float32))
    with pytest.raises(InputError, match=r"expected at least .* MiB .* found 3 MiB"):
        Joint()(decode, many, inputs, plan=Plan(memory=3 << 20))


def test_strong_damping_stays_near_the_latents_under_the_mean_metric(case, rng):
    """Then the step is to the codes of `Whitened`, and taken only where the image is better."""
    decode, codebook, inputs = case
    roots = rng.standard_normal((2, 2)).astype(np.float32)
    codebook = codebook._replace(position_metrics=np.broadcast_to(roots @ roots.T, (*SHAPE[:2], 2, 2)))
    nearest = Whitened()(decode, codebook, inputs)
    start = (nearest + 1) % K
    found = dataclasses.replace(CHEAP, dampings=(1e6,))(decode, codebook, inputs._replace(start=start))
    better = errors(case, nearest) < errors(case, start)
    assert 0 < better.sum() < len(better)
    np.testing.assert_array_equal(found, np.where(better[:, None, None, None], nearest, start))


def test_without_a_start_greedy_begins_with_its_initial_assigner(case):
    decode, codebook, inputs = case
    cheap = CHEAP
    fresh = inputs._replace(start=None)
    started = Greedy()(decode, codebook, inputs._replace(start=cheap(decode, codebook, fresh)))
    np.testing.assert_array_equal(Greedy(initial=cheap)(decode, codebook, fresh), started)


def test_greedy_ends_where_no_single_code_is_better(case):
    tried = Greedy(candidates=K, sweeps=20)(*case)
    least = errors(case, tried)
    for index in np.ndindex(*SHAPE[:2]):
        for code in range(K):
            other = tried.copy()
            other[:, *index] = code
            assert (errors(case, other) >= least - 1e-5).all()


def test_two_quantizers_come_nearer(case, rng):
    decode, codebook, inputs = case
    both = codebook._replace(codes=np.stack([codebook.codes[0], 0.3 * rng.standard_normal((K, 2)).astype(np.float32)]))
    start = np.concatenate([inputs.start, np.zeros_like(inputs.start)], axis=-1)
    cheap = CHEAP
    found = cheap.solve(decode, both, inputs._replace(start=start))
    assert found.tokens.shape == start.shape
    assert found.costs.mean() < cheap.solve(*case).costs.mean()
    tried = Greedy()(decode, both, inputs._replace(start=found.tokens))
    assert (errors((decode, both, inputs), tried) <= found.costs + 1e-5).all()


def test_neither_the_batch_nor_chunks_nor_devices_change_tokens(case):
    decode, codebook, inputs = case
    joint, greedy, sketched = CHEAP, Greedy(), dataclasses.replace(CHEAP, probes=3)
    whole, estimated = joint(*case), sketched(*case)
    tried = greedy(decode, codebook, inputs._replace(start=whole))
    for plan, rows in (
        (Plan(passes=2), slice(0, 20)),
        (Plan(mesh=jax.make_mesh((1,), ("data",))), slice(0, 20)),
        (Plan(), slice(3, 4)),
    ):
        some = Inputs(inputs.latents[rows], inputs.images[rows], start=inputs.start[rows])
        np.testing.assert_array_equal(joint(decode, codebook, some, plan=plan), whole[rows])
        np.testing.assert_array_equal(sketched(decode, codebook, some, plan=plan), estimated[rows])
        found = greedy(decode, codebook, some._replace(start=whole[rows]), plan=plan)
        np.testing.assert_array_equal(found, tried[rows])


def test_progress_counts_every_image_once(case):
    done: list[int] = []
    CHEAP(*case, progress=done.append)
    assert sum(done) == 20
    done.clear()
    Greedy(sweeps=3)(*case, progress=done.append)
    assert sum(done) == 20


def test_a_decoder_that_fails_is_refused(case):
    decode, codebook, inputs = case
    cheap = CHEAP
    with pytest.raises(InputError, match="that JAX can trace"):
        cheap(as_partial(lambda z: np.asarray(z)), codebook, inputs)
    with pytest.raises(InputError, match="NaN or infinity at latent 0"):
        cheap(as_partial(lambda z: decode(z) / 0.0), codebook, inputs)
    least = codebook.codes[0, 1, 0]
    failing = as_partial(lambda z: jnp.where(z > least, z, jnp.nan))
    with pytest.raises(InputError, match="NaN or infinity at latent 0"):
        Greedy()(failing, codebook, inputs._replace(images=inputs.images[:, :1, :1]))
    zero = np.zeros((20, 1, 1, 2), np.float32)  # an image that is finite, without derivatives
    at_zero = Inputs(zero, zero, start=np.zeros((20, 1, 1, 1), np.int32))
    squared = Codebook(codebook.codes**2, codebook.position_metrics[:, :1])
    with pytest.raises(InputError, match="NaN or infinity at latent 0"):
        cheap(as_partial(lambda z: jnp.sqrt(z)), squared, at_zero)
    with pytest.raises(InputError, match="images: expected those that the latents are of, found none"):
        cheap(decode, codebook, Inputs(inputs.latents))


def test_a_band_that_does_not_fit_is_refused_with_what_would_do(photograph):
    with pytest.raises(InputError, match=r"for latents \(6, 5, 2\).*; use Whitened\(\) or Amortised\(\)"):
        Joint()(*photograph, plan=Plan(memory=1 << 12))


def test_neither_the_batch_nor_chunks_nor_devices_change_tokens_of_a_band(photograph):
    decode, codebook, inputs = photograph
    joint = dataclasses.replace(CHEAP, radius=1)
    whole = joint(*photograph)
    for plan, rows in (
        (Plan(passes=7), slice(0, 5)),
        (Plan(memory=1 << 17), slice(0, 5)),
        (Plan(mesh=jax.make_mesh((1,), ("data",))), slice(0, 5)),
        (Plan(), slice(3, 4)),
    ):
        some = Inputs(inputs.latents[rows], inputs.images[rows], start=inputs.start[rows])
        np.testing.assert_array_equal(joint(decode, codebook, some, plan=plan), whole[rows])


@pytest.mark.parametrize("count", [1, 2])
def test_on_a_band_the_true_cost_never_rises_and_comes_near_that_of_whole_jacobians(count, photograph, rng):
    decode, codebook, inputs = photograph
    codes = np.concatenate([codebook.codes, 0.3 * rng.standard_normal((1, K, 2))])[:count].astype(np.float32)
    start = np.concatenate([inputs.start, np.zeros_like(inputs.start)], axis=-1)[..., :count]
    code_costs = rng.uniform(size=(5, *WIDE[:2], count, K)).astype(np.float32) * (count - 1)
    several = decode, codebook._replace(codes=codes), inputs._replace(start=start, code_costs=code_costs)

    def costs(tokens):
        own = np.take_along_axis(code_costs, tokens[..., None], axis=-1).sum(axis=(1, 2, 3, 4))
        return errors(several, tokens) + own

    before, found = costs(start), dataclasses.replace(CHEAP, radius=1).solve(*several)
    after = costs(found.tokens)
    np.testing.assert_allclose(found.costs, after, rtol=1e-4)
    assert (after <= before + 1e-5).all()
    whole = costs(dataclasses.replace(CHEAP, radius=None)(*several))
    assert before.mean() - after.mean() > 0.9 * (before.mean() - whole.mean()) > 0


def test_a_radius_that_reaches_every_token_is_a_whole_jacobian(photograph):
    """Then sets hold one token each, in raster order, and every window holds the whole response."""
    decode, codebook, inputs = photograph
    small = Inputs(inputs.latents[:, :3, :4], inputs.images[:, :6, :8], start=inputs.start[:, :3, :4])
    small_codebook = Codebook(codebook.codes, codebook.position_metrics[:3, :4])
    band, whole = (
        dataclasses.replace(CHEAP, radius=radius).solve(decode, small_codebook, small) for radius in (3, None)
    )
    np.testing.assert_array_equal(band.tokens, whole.tokens)
    assert (whole.tokens != small.start).any()
    np.testing.assert_allclose(band.costs, whole.costs, rtol=1e-5)


def test_large_grids_take_a_band_and_small_ones_whole_jacobians(photograph):
    decode, codebook, _ = photograph

    def curvature(h, w, joint):
        some = Codebook(codebook.codes, codebook.position_metrics[:1, :1])
        return joint.program_and_problem(decode, some, np.zeros((1, h, w, 2), np.float32))[0].curvature

    assert isinstance(curvature(5, 5, Joint()), ExactCurvature)
    assert isinstance(curvature(6, 6, Joint(radius=None)), ExactCurvature)
    assert curvature(2, 13, Joint()) == BandCurvature(1, 3)
    assert curvature(2, 2, Joint(radius=2, spacing=3)) == BandCurvature(2, 3)
    assert isinstance(curvature(6, 6, Joint(probes=3)), SketchedCurvature)
    assert isinstance(curvature(6, 6, Joint(directions=3)), ProjectedCurvature)


def test_large_grids_without_blocks_of_pixels_take_whole_jacobians(case):
    _, codebook, _ = case
    narrow = as_partial(lambda z: z.reshape(-1, 1, 1)[:59])
    codebook = codebook._replace(position_metrics=codebook.position_metrics[:1, :1])
    found = Joint().program_and_problem(narrow, codebook, np.zeros((1, 6, 5, 2), np.float32))[0].curvature
    assert isinstance(found, ExactCurvature)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": -1}, "radius: expected a whole number in 0..65536, found -1"),
        ({"radius": 1.5}, "radius: expected a whole number"),
        ({"radius": "all"}, "radius: expected a whole number, None or .auto., found 'all'"),
        ({"radius": 2, "spacing": 4}, "spacing: expected an odd number above the radius 2, found 4"),
        ({"spacing": 1}, "spacing: expected an odd number above the radius 1, found 1"),
        ({"radius": 1, "probes": 8}, "radius: expected a radius, probes or directions, found two of them"),
    ],
)
def test_bands_that_cannot_be_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Joint(**options)


@pytest.mark.parametrize(("radius", "products"), [(0, 18), (1, 18), (2, 50), (None, 98)])
def test_products_of_a_band(radius, products):
    """Even the metrics alone take windows of three tokens."""
    assert Joint(radius=radius).products((7, 7, 2)) == products


def test_a_decoder_whose_tokens_have_no_pixels_of_their_own_has_no_band(case):
    with pytest.raises(
        InputError, match=r"sides are multiples of the 1x3 tokens', found shape \(2, 4, 1\); take what needs no band"
    ):
        Joint(radius=1)(*case)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Joint(directions=0), "directions: expected a whole number of at least 1, found 0"),
        (lambda: Joint(probes=0), "probes: expected a whole number of at least 1, found 0"),
        (lambda: Joint(probes=8, directions=8), "probes: expected directions or probes, found both"),
        (lambda: Joint(seed=-1), "seed: expected a whole number in 0.."),
        (lambda: Nearest(sweeps=-1), "sweeps: expected a whole number of at least 0"),
        (lambda: Joint(jacobians=0), "jacobians: expected a whole number"),
        (lambda: Joint(dampings=()), "dampings: expected one or more finite numbers of at least 0"),
        (lambda: Joint(dampings=(0.1, np.inf)), "dampings: expected finite values"),
        (lambda: Joint(corrections=-1), "corrections: expected a whole number of at least 0"),
        (lambda: Greedy(candidates=True), "candidates: expected a whole number"),
        (lambda: Greedy(sweeps=1.5), "sweeps: expected a whole number"),  # type: ignore[arg-type]
    ],
)
def test_impossible_options_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
