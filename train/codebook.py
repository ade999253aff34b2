r"""Measures the latents of a trained VAE and builds the codebooks on them.

    python -m train.codebook --run runs/demo
    python -m train.codebook --run runs/quick --codebook.num-codes 1024

Two codes for a token, of 1024 each; the second refines the residual of the first:

    python -m train.codebook --run runs/two --codebook.codebooks whitened metric --codebook.num-quantizers 2 \
        --codebook.num-codes 1024

Needs RUN/vae. Writes RUN/codebook/geometry.npz (latents, metrics, graph) and one tokenizer file for each codebook, which
`geovq.Tokenizer.load` reads. What an interrupted run finished is not made again.
"""

from train.run.command_line import NoExtra, parse, run_program


def main() -> None:
    """Runs the program."""
    run, _ = parse(__doc__, ("data", "codebook"), NoExtra(), needs=("vae",))

    from train.stages import codebook

    codebook.run(run)


if __name__ == "__main__":
    run_program(main)
