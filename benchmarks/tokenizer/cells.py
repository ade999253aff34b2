"""The cells of benchmarks.tokenizer: scores of single images for every case and seed, each kept in a file.

A study that is killed computes little again. `all_cells` has the order in which they are computed.
"""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from benchmarks.common.harness import kept
from benchmarks.common.rows import Row
from benchmarks.tokenizer.rows import Arrays, Case, probes_of, semantic_rows
from benchmarks.tokenizer.systems import CODEBOOKS, HEADLINE, Tokenizers, gaussian, two_codes
from geovq.assignment import Amortised, Assigner, Geodesic, Greedy, Joint, Local, Nearest, Whitened
from geovq.batching.chunks import map_chunks
from geovq.batching.plan import DEFAULT_PLAN
from geovq.codebook.names import COMPOSITIONS
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import encode_images
from geovq.geometry.measured import draw
from geovq.geometry.placed_codes import CodeGraph, code_field, lengths_to_codes, place_codes
from geovq.metric.batched import token_metrics
from geovq.models.rate import token_bits
from geovq.models.spatial_vae import callables
from geovq.scores import reconstruction as scores
from geovq.scores import tokens as token_scores
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_images
from train.config.names import BaselineName
from train.run.folder import Run
from train.stages import inputs, networks, tokenizers

SEED = 0
"""Of the draw of test images, the same for every system and seed."""

VERSION = 2
"""Of what is computed; another one makes every cell again."""

NOISE = 0.1
"""Standard deviation of the noise on latents, relative to the standard deviation of each dimension over the data."""


class TestImages(NamedTuple):
    """The test images that are scored."""

    images: Float[np.ndarray, "n H W C"]
    labels: Int[np.ndarray, " n"]

    @classmethod
    def drawn(cls, run: Run, count: int) -> "TestImages":
        """`count` of the test images, the same ones in every run of these images."""
        dataset = inputs.images(run.config.data).dataset
        rows = draw(np.arange(len(dataset.test_images)), count, SEED)
        return cls(check_images(dataset.test_images[rows]), dataset.test_labels[rows])


def image_scores(
    images: Float[np.ndarray, "n H W C"], reconstructions: Float[np.ndarray, "n H W C"], lpips_images: int
) -> Arrays:
    """PSNR and SSIM of every image, and LPIPS of the first."""
    return {
        "psnr": scores.psnr(images, reconstructions),
        "ssim": scores.ssim(images, reconstructions),
        "lpips": scores.lpips(images[:lpips_images], reconstructions[:lpips_images]),
        "image_error": ((images - reconstructions) ** 2).sum(axis=(1, 2, 3)),
    }


def continuous(run: Run, test: TestImages, *, noise: bool) -> Arrays:
    """Scores of the VAE itself, from posterior means, or from one sample of each posterior, and the KL bits of a token."""
    graphdef, params = nnx.split(networks.trained_vae(run, test.images.shape[1:]))

    @jax.jit
    def reconstruct(batch, number):
        model = nnx.merge(graphdef, params)
        mean, logvar = model.encoder.posteriors(batch)
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(SEED), i))(number)
        drawn = jax.vmap(lambda key: jax.random.normal(key, mean.shape[1:]))(keys)
        latents = mean + jnp.exp(logvar / 2) * drawn if noise else mean
        return model.decoder(latents), token_bits(mean, logvar)

    decoded, bits = map_chunks(reconstruct, test.images, np.arange(len(test.images)), chunk=500)
    found = image_scores(test.images, np.clip(decoded, 0, 1), len(test.images))
    return found | {"bits_per_token": bits.mean(axis=(1, 2)), "bits_of_tokens": bits.ravel()}


class Measured(NamedTuple):
    """What a VAE makes of the test images, for errors in the measures of its latent space."""

    latents: Float[np.ndarray, "n h w d"]
    metrics: Float[np.ndarray, "n h w d d"]

    @classmethod
    def of(cls, run: Run, test: TestImages) -> "Measured":
        """Latents and exact metrics of the tokens of all test images."""
        encode, decode = callables(networks.trained_vae(run, test.images.shape[1:]))
        latents = encode_images(encode, test.images)
        return cls(latents, token_metrics(single(decode), latents, plan=DEFAULT_PLAN))


def quantized(
    tokenizer: Tokenizer,
    test: TestImages,
    lpips_images: int,
    *,
    measured: Measured | None = None,
    placed: CodeGraph | None = None,
    start: Int[np.ndarray, "n h w"] | None = None,
) -> Arrays:
    """Scores and tokens of a tokenizer.

    Args:
        tokenizer: With the assignment that is scored.
        test: The images.
        lpips_images: The first of them that LPIPS is taken of.
        measured: Latents and metrics by which tokens are measured; None for systems whose encoder is another.
        placed: The codes in the measured graph, for lengths of paths.
        start: Joint tokens, with which greedy search goes on.

    Returns:
        Arrays of n, and tokens.
    """
    if measured is None or start is not None:
        tokens = tokenizer.encode(test.images, start=start)
    else:
        tokens = tokenizer.assign_latents(measured.latents, metrics=measured.metrics, images=test.images)
    found = image_scores(test.images, tokenizer.decode(tokens), lpips_images)
    found |= {"tokens": tokens, "k": np.array(tokenizer.num_codes)}
    if measured is None:
        return found
    d, n = measured.latents.shape[-1], len(tokens)
    latents, metrics = measured.latents.reshape(-1, d), measured.metrics.reshape(-1, d, d)
    chosen = tokenizer.dequantize(tokens).reshape(-1, d)
    by_token = {
        "latent_error": token_scores.latent_errors(latents, chosen),
        "metric_error": token_scores.metric_errors(latents, chosen, metrics),
    }
    if placed is not None:
        by_token["geodesic_error"] = lengths_to_codes(placed, latents, metrics, tokens.reshape(-1, 1))[:, 0]
    return found | {name: values.reshape(n, -1).mean(axis=1) for name, values in by_token.items()}


def in_graph(run: Run, tokenizer: Tokenizer) -> tuple[CodeGraph, Tokenizer]:
    """The tokenizer's codes in the run's measured graph, and the tokenizer that assigns along it."""
    placed = place_codes(inputs.load_geometry(run), tokenizer.codes)
    return placed, tokenizer.replace(assigner=Geodesic(field=code_field(placed)))


Found = dict[Case, list[Arrays]]

ALONE: dict[str, Assigner] = {
    "euclidean": Nearest(),
    "whitened": Whitened(),
    "whitened-position": Whitened(per_position=True),
    "local": Local(),
}
"""Assigners of single tokens that every codebook is scored with, beside geodesic and joint."""


def all_cells(tokenizers: Tokenizers) -> Found:
    """The cells of every case, one for each seed."""
    schedule, found = tokenizers.schedule, Found()
    for seed in schedule.seeds:
        for case, cell in _of_vae(tokenizers, seed):
            found.setdefault(case, []).append(cell)
    for k in schedule.num_codes:
        for seed in schedule.seeds:
            one = _OneSeed(tokenizers, k, seed)
            for part in tokenizers.parts:
                for case, cell in one.of(part):
                    found.setdefault(case, []).append(cell)
    return found


def semantics(tokenizers: Tokenizers, found: Found, k: int) -> list[dict[str, Any]]:
    """Rows of what the codes of every codebook mean."""
    rows: list[dict[str, Any]] = []
    seeds = [_OneSeed(tokenizers, k, seed) for seed in tokenizers.schedule.seeds]
    for codebook in CODEBOOKS:
        tokens = [cell["tokens"] for cell in found[Case(k, "ours", "frozen", codebook, "whitened")]]
        kept_tokens = [one.unmoved(codebook) for one in seeds]
        rows += semantic_rows(codebook, k, tokens, kept_tokens, seeds[0].test.labels)
    return rows


def _kept(tokenizers: Tokenizers, name: str, made_from: dict[str, Any], compute: Callable[[], Arrays]) -> Arrays:
    """The arrays of a cell from its file, or computed."""
    path = tokenizers.folder / f"cells-{tokenizers.schedule.images}" / f"{name}.npz"

    def computed() -> tuple[list[Row], Arrays]:
        print(f"tokenizer: {name}", flush=True)
        return [], compute()

    return kept(path, {"version": VERSION, **made_from}, computed)[1]


def _of_vae(tokenizers: Tokenizers, seed: int) -> Iterator[tuple[Case, Arrays]]:
    run = tokenizers.vae(seed)
    test = TestImages.drawn(run, tokenizers.schedule.images)
    for assign, noise in (("-", False), ("noise", True)):
        case, made_from = Case(0, "vae", "frozen", "-", assign), {"vae": run.fingerprint("vae")}
        compute = partial(continuous, run, test, noise=noise)
        yield case, _kept(tokenizers, f"{case.name}-{seed}", made_from, compute)


class _OneSeed:
    """The cases of one K and one seed."""

    def __init__(self, tokenizers: Tokenizers, k: int, seed: int) -> None:
        self.tokenizers, self.k, self.seed = tokenizers, k, seed
        self.vae = tokenizers.vae(seed)
        self.test = TestImages.drawn(self.vae, tokenizers.schedule.images)
        self.train_images = inputs.images(self.vae.config.data).dataset.train_images
        self.joint: dict[Case, Any] = {}

    @cached_property
    def ours(self) -> Run:
        """The VAE with its codebooks."""
        return self.tokenizers.ours(self.k, self.seed)

    def of(self, part: str) -> Iterator[tuple[Case, Arrays]]:
        """One of PARTS."""
        if part in ("vqvae", "fsq"):
            return self.end_to_end(cast(BaselineName, part))
        ways = {"finetuned": self.tuned, "frozen": self.frozen, "gaussian": self.random, "several": self.several}
        return ways[part]()

    def end_to_end(self, system: BaselineName) -> Iterator[tuple[Case, Arrays]]:
        """VQ-VAE or FSQ, also with our assigners."""
        run = self.tokenizers.baseline(system, self.k, self.seed)
        own = ("euclidean", "whitened", "amortised", "joint", "greedy")
        for assign in own if system == "vqvae" else ("euclidean", "joint"):
            make = partial(tokenizers.load_baseline, run.folder, self.train_images, assign)
            made_from = {"baseline": run.fingerprint("baseline")}
            yield self._cell(Case(self.k, system, "end-to-end", system, assign), made_from, make)

    def tuned(self) -> Iterator[tuple[Case, Arrays]]:
        """The decoder fine-tuned on tokens: of our VAE, and of a VQ-VAE."""
        for system, of in (("ours", self.tokenizers.tuned), ("vqvae", self.tokenizers.tuned_vqvae)):
            run = of(self.k, self.seed)
            for assign in ("whitened", "amortised", "joint", "greedy"):
                make = partial(tokenizers.load_finetuned, run.folder, assign)
                made_from = {"finetune": run.fingerprint("finetune")}
                yield self._cell(Case(self.k, system, "finetuned", "finetuned", assign), made_from, make)

    def frozen(self) -> Iterator[tuple[Case, Arrays]]:
        """Every codebook of the VAE as it is, with every assigner."""
        run, schedule = self.ours, self.tokenizers.schedule
        for codebook in CODEBOOKS:
            base = tokenizers.of_codebook(run, codebook, "whitened")
            placed, along = in_graph(run, base)
            ways: dict[str, Callable[[], Tokenizer]] = {
                name: partial(base.replace, assigner=assigner) for name, assigner in ALONE.items()
            }
            ways["geodesic"] = lambda along=along: along  # type: ignore[misc]
            if codebook == HEADLINE:
                sketched = Joint(directions=schedule.compared_probes)
                ways["joint"] = partial(base.replace, assigner=Joint())
                ways["joint-sketched"] = partial(base.replace, assigner=sketched)
                ways["greedy"] = partial(base.replace, assigner=Greedy())
                ways["amortised"] = partial(base.replace, assigner=Amortised(), images=self.train_images)
            else:
                ways["joint"] = partial(base.replace, assigner=Joint(directions=schedule.probes or None))
            for assign, make in ways.items():
                case = Case(self.k, "ours", "frozen", codebook, assign)
                made_from = {"codebook": run.fingerprint("codebook"), "probes": probes_of(case, schedule)}
                yield self._cell(case, made_from, make, measured=self._measured(), placed=placed)

    def random(self) -> Iterator[tuple[Case, Arrays]]:
        """Random Gaussian codes."""
        for assign in ("euclidean", "whitened"):
            make = partial(gaussian, self.vae, self.k, self.seed, ALONE[assign])
            made_from = {"vae": self.vae.fingerprint("vae")}
            yield self._cell(Case(self.k, "gaussian", "frozen", "gaussian", assign), made_from, make)

    def several(self) -> Iterator[tuple[Case, Arrays]]:
        """Two codes for every token."""
        run = self.ours
        for composition in COMPOSITIONS:
            make = partial(two_codes, run, self.k, self.seed, composition)
            case = Case(self.k, "ours", "frozen", composition, "whitened", 2)
            made_from = {"codebook": run.fingerprint("codebook")}
            yield self._cell(case, made_from, make, measured=self._measured())

    def unmoved(self, codebook: str) -> Float[np.ndarray, " n"]:
        """Part of an image's tokens that stay the same when its latents move at random."""
        tokenizer, latents = tokenizers.of_codebook(self.ours, codebook, "whitened"), self._measured().latents
        noise = np.random.default_rng(0).standard_normal(latents.shape).astype(np.float32)
        moved = (latents + NOISE * latents.std(axis=(0, 1, 2)) * noise).astype(np.float32)
        same = tokenizer.assign_latents(latents) == tokenizer.assign_latents(moved)
        return same.reshape(len(same), -1).mean(axis=1)

    def _measured(self) -> Measured:
        made_from = {"vae": self.vae.fingerprint("vae")}
        compute = partial(Measured.of, self.vae, self.test)
        return Measured(**_kept(self.tokenizers, f"measured-{self.seed}", made_from, lambda: compute()._asdict()))

    def _cell(
        self, case: Case, made_from: dict[str, Any], make: Callable[[], Tokenizer], **options: Any
    ) -> tuple[Case, Arrays]:
        schedule = self.tokenizers.schedule
        compared = case.system != "ours" or case.decoder != "frozen" or case.codebook == HEADLINE
        lpips_images = schedule.images if compared else schedule.lpips_images
        if case.assign == "greedy":  # it goes on from the joint tokens, which are there already
            options["start"] = self.joint[case._replace(assign="joint")]
        found = _kept(
            self.tokenizers,
            f"{case.name}-{self.seed}",
            made_from | {"lpips_images": lpips_images},
            lambda: quantized(make(), self.test, lpips_images, **options),
        )
        if case.assign == "joint":
            self.joint[case] = found["tokens"]
        return case, found
