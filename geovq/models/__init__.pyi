from .config import GPTConfig as GPTConfig
from .config import VAEConfig as VAEConfig
from .gpt import GPT as GPT
from .sampling import sample as sample
from .spatial_vae import SpatialVAE as SpatialVAE
