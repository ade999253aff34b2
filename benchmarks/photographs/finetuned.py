"""Tokenizers whose decoder and codes train.finetune went on training, beside the codes and the decoder that they began with."""

import functools
import pathlib
from collections.abc import Iterator, Mapping

from benchmarks.common.published import Published
from benchmarks.common.rows import Row, mean_row
from benchmarks.photographs.coders import ASSIGNERS, Coder
from benchmarks.photographs.schedules import Schedule, Study
from benchmarks.photographs.scoring import SCORES, Scores, fields_of, made_from_of, score_coder, score_system
from benchmarks.photographs.systems import AUTOENCODER, EUCLIDEAN, Assign, Rate, System
from geovq.storage.arrays import stored_digest
from geovq.tokenizer.tokenizer import Tokenizer

_ASSIGNS: tuple[Assign, ...] = ("whitened", "joint")


def finetuned_rows(
    published: Published, schedule: Schedule, files: Mapping[str, pathlib.Path], continuous: Scores
) -> Iterator[Row]:
    """Rows of fine-tuned tokenizers on the crops that are compared as sets.

    Args:
        published: Folders.
        schedule: On how many crops of which size.
        files: What train.finetune made of TAESD with the default codes of seed 0, by what the rows call them.
        continuous: Scores of the latents themselves under the published decoder.
    """
    for name, path in files.items():
        tokenizer = Tokenizer.load(path, *published.vae(AUTOENCODER))
        rate = Rate(tokenizer.num_codes, tokenizer.num_quantizers)
        study = Study(AUTOENCODER, rate, (), schedule.as_sets, (0,))
        peers = functools.partial(score_system, published, study, seed=0)
        euclidean = peers(EUCLIDEAN)[1]
        for assign in _ASSIGNS:
            found = Coder(tokenizer.replace(assigner=ASSIGNERS[assign]))
            made_from = made_from_of(found, assign) | {"file": stored_digest(path)}
            scores = score_coder(published, found, f"finetuned/{name}-{assign}", made_from, study.crops)
            compared = {
                "continuous": continuous,
                "euclidean": euclidean,
                "frozen": peers(System("default", assign))[1],
            }
            fields = fields_of(study, System("default", assign), 0) | {"case": "finetuned", "name": name}
            print(f"{name}, {assign}: {scores['psnr'].mean():.2f} dB", flush=True)
            for score in SCORES:
                yield mean_row(fields, score, scores[score])
                for peer, theirs in compared.items():
                    yield mean_row(fields | {"peer": peer}, f"{score}_difference", scores[score] - theirs[score])
