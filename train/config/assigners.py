"""Assigners by the names that they have on command lines."""

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Assigner
from geovq.assignment.geodesic import Geodesic
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.local import Local
from geovq.assignment.nearest import Nearest
from geovq.assignment.whitened import Whitened
from geovq.validation import InputError
from train.config.names import ASSIGNERS


def make_assigner(name: str, probes: int = 0) -> Assigner:
    """The assigner of a name, without statistics.

    Args:
        name: One of ASSIGNERS.
        probes: Products that a Jacobian is sketched by: random probes of local and geodesic, leading directions of joint and of
            the joint tokens that greedy starts from; 0 = exact.

    Raises:
        InputError: Another name.
    """
    sketch = probes or None
    match name:
        case "euclidean":
            return Nearest()
        case "whitened":
            return Whitened()
        case "whitened-position":
            return Whitened(per_position=True)
        case "local":
            return Local(probes=sketch)
        case "geodesic":
            return Geodesic(probes=sketch)
        case "amortised":
            return Amortised()
        case "joint":
            return Joint(directions=sketch)
        case "greedy":
            return Greedy(initial=Joint(directions=sketch))
    raise InputError(f"assigner: expected one of {', '.join(ASSIGNERS)}, found {name!r}; choose one of them.")
