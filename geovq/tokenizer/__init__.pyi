from .better_tokens import BetterTokens as BetterTokens
from .better_tokens import better_tokens as better_tokens
from .cost import Cost as Cost
from .entropy_constrained import assign_entropy_constrained as assign_entropy_constrained
from .entropy_constrained import code_nats as code_nats
from .fitting import measure as measure
from .measured import Measured as Measured
from .tokenizer import Tokenizer as Tokenizer
