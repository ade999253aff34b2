from .better_tokens import BetterTokens as BetterTokens
from .better_tokens import better_tokens as better_tokens
from .cost import Cost as Cost
from .cost import tokenizer_cost as tokenizer_cost
from .entropy_constrained import assign_entropy_constrained as assign_entropy_constrained
from .entropy_constrained import code_nats as code_nats
from .tokenizer import Tokenizer as Tokenizer
