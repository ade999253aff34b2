from .additive import MAX_QUANTIZERS as MAX_QUANTIZERS
from .additive import additive_codes as additive_codes
from .additive import as_quantizers as as_quantizers
from .additive import sum_codes as sum_codes
from .kmeans import product_codes as product_codes
from .kmeans import residual_codes as residual_codes
from .linalg import eigen_root as eigen_root
from .linalg import quadratic_form as quadratic_form
