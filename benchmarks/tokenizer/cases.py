"""The cases of benchmarks.tokenizer, in the order in which they are computed."""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any, cast

from benchmarks.tokenizer.cells import Arrays, Cells, Measured, TestImages, continuous, in_graph, quantized
from benchmarks.tokenizer.rows import Case
from benchmarks.tokenizer.semantics import kept_under_noise, semantic_rows
from benchmarks.tokenizer.systems import CODEBOOKS, HEADLINE, Schedule, Tokenizers, gaussian, two_codes
from geovq.tokenizer.tokenizer import Tokenizer
from train.config.names import BaselineName
from train.run.folder import Run
from train.stages import inputs as stages
from train.stages import tokenizers

Found = dict[Case, list[Arrays]]

ALONE = ("euclidean", "whitened", "whitened-position", "local")
"""Assignments of single tokens that every codebook is scored with, beside geodesic and joint."""


def probes_of(case: Case, schedule: Schedule) -> int | None:
    """Directions of a case's joint assignment; None where Jacobians are whole, as in all that is compared."""
    if case.assign == "joint-sketched":
        return schedule.compared_probes
    frozen = case.system == "ours" and case.decoder == "frozen"
    return schedule.probes or None if frozen and case.assign == "joint" and case.codebook != HEADLINE else None


def all_cells(tokenizers: Tokenizers) -> Found:
    """The cells of every case, one for each seed."""
    schedule, found = tokenizers.schedule, Found()
    for seed in schedule.seeds:
        for case, cell in _of_vae(tokenizers, seed):
            found.setdefault(case, []).append(cell)
    for k in schedule.codes:
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
        kept = [one.kept_under_noise(codebook) for one in seeds]
        rows += semantic_rows(codebook, k, tokens, kept, seeds[0].test.labels)
    return rows


def _cells(tokenizers: Tokenizers) -> Cells:
    return Cells(tokenizers.folder / f"cells-{tokenizers.schedule.images}")


def _of_vae(tokenizers: Tokenizers, seed: int) -> Iterator[tuple[Case, Arrays]]:
    run = tokenizers.vae(seed)
    test = TestImages.drawn(run, tokenizers.schedule.images)
    for assign, noise in (("-", False), ("noise", True)):
        case, made_from = Case(0, "vae", "frozen", "-", assign), {"vae": run.fingerprint("vae")}
        yield (
            case,
            _cells(tokenizers).get(f"{case.name}-{seed}", made_from, partial(continuous, run, test, noise=noise)),
        )


class _OneSeed:
    """The cases of one K and one seed."""

    def __init__(self, tokenizers: Tokenizers, k: int, seed: int) -> None:
        self.tokenizers, self.k, self.seed = tokenizers, k, seed
        self.vae = tokenizers.vae(seed)
        self.cells = _cells(tokenizers)
        self.test = TestImages.drawn(self.vae, tokenizers.schedule.images)
        self.train_images = stages.images(self.vae.config.data).dataset.train_images
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
        """VQ-VAE or FSQ, also with our assignments."""
        run = self.tokenizers.baseline(system, self.k, self.seed)
        own = ("euclidean", "whitened", "amortised", "joint", "decoded")
        for assign in own if system == "vqvae" else ("euclidean", "joint"):
            make = partial(tokenizers.load_baseline, run.folder, self.train_images, assign)
            made_from = {"baseline": run.fingerprint("baseline")}
            yield self._cell(Case(self.k, system, "end-to-end", system, assign), made_from, make)

    def tuned(self) -> Iterator[tuple[Case, Arrays]]:
        """The decoder fine-tuned on tokens: of our VAE, and of a VQ-VAE."""
        for system, of in (("ours", self.tokenizers.tuned), ("vqvae", self.tokenizers.tuned_vqvae)):
            run = of(self.k, self.seed)
            for assign in ("whitened", "amortised", "joint", "decoded"):
                make = partial(tokenizers.load_finetuned, run.folder, assign)
                made_from = {"finetune": run.fingerprint("finetune")}
                yield self._cell(Case(self.k, system, "finetuned", "finetuned", assign), made_from, make)

    def frozen(self) -> Iterator[tuple[Case, Arrays]]:
        """Every codebook of the VAE as it is, with every assignment."""
        run, schedule = self.ours, self.tokenizers.schedule
        for codebook in CODEBOOKS:
            base = tokenizers.of_codebook(run, codebook, "whitened")
            placed, along = in_graph(run, base)
            ways: dict[str, Callable[[], Tokenizer]] = {name: partial(base.replace, assign=name) for name in ALONE}
            ways["geodesic"] = lambda along=along: along  # type: ignore[misc]
            joint = partial(base.replace, assign="joint")
            if codebook == HEADLINE:
                ways |= {"joint": joint, "joint-sketched": partial(joint, probes=schedule.compared_probes)}
                ways["decoded"] = partial(base.replace, assign="decoded")
                ways["amortised"] = partial(base.amortised, self.train_images)
            else:
                ways["joint"] = partial(joint, probes=schedule.probes or None)
            for assign, make in ways.items():
                case = Case(self.k, "ours", "frozen", codebook, assign)
                made_from = {"codebook": run.fingerprint("codebook"), "probes": probes_of(case, schedule)}
                yield self._cell(case, made_from, make, measured=self._measured(), placed=placed)

    def random(self) -> Iterator[tuple[Case, Arrays]]:
        """Random Gaussian codes."""
        for assign in ("euclidean", "whitened"):
            make = partial(gaussian, self.vae, self.k, self.seed, assign)
            made_from = {"vae": self.vae.fingerprint("vae")}
            yield self._cell(Case(self.k, "gaussian", "frozen", "gaussian", assign), made_from, make)

    def several(self) -> Iterator[tuple[Case, Arrays]]:
        """Two codes for every token."""
        run = self.ours
        for stacking in ("residual", "product"):
            make = partial(two_codes, run, self.k, self.seed, stacking)
            case = Case(self.k, "ours", "frozen", stacking, "whitened", 2)
            made_from = {"codebook": run.fingerprint("codebook")}
            yield self._cell(case, made_from, make, measured=self._measured())

    def kept_under_noise(self, codebook: str) -> Any:
        """Part of the tokens of each image that stay when latents move at random."""
        tokenizer = tokenizers.of_codebook(self.ours, codebook, "whitened")
        return kept_under_noise(tokenizer, self._measured().latents)

    def _measured(self) -> Measured:
        made_from = {"vae": self.vae.fingerprint("vae")}
        compute = partial(Measured.of, self.vae, self.test)
        return Measured(**self.cells.get(f"measured-{self.seed}", made_from, lambda: compute()._asdict()))

    def _cell(
        self, case: Case, made_from: dict[str, Any], make: Callable[[], Tokenizer], **options: Any
    ) -> tuple[Case, Arrays]:
        schedule = self.tokenizers.schedule
        compared = case.system != "ours" or case.decoder != "frozen" or case.codebook == HEADLINE
        lpips_images = schedule.images if compared else schedule.lpips_images
        if case.assign == "decoded":  # it goes on from the joint tokens, which are there already
            options["start"] = self.joint[case._replace(assign="joint")]
        found = self.cells.get(
            f"{case.name}-{self.seed}",
            made_from | {"lpips_images": lpips_images},
            lambda: quantized(make(), self.test, lpips_images, **options),
        )
        if case.assign == "joint":
            self.joint[case] = found["tokens"]
        return case, found
