"""Names of assigners on command lines, and what the library calls them."""

from geovq.tokenizer.tokenizer import Tokenizer


def with_assigner(tokenizer: Tokenizer, name: str, probes: int | None = None) -> Tokenizer:
    """The tokenizer with the assigner of a name.

    Args:
        tokenizer: Any tokenizer.
        name: One of ASSIGNERS; amortised and geodesic need their statistics besides.
        probes: Products that a Jacobian is sketched by, for assigners that need one; None = exact.
    """
    return tokenizer.replace(assign={"greedy": "decoded"}.get(name, name), probes=probes)
