from .codes import fit_codes as fit_codes
from .fit import Recipe as Recipe
from .fit import fit_codebook as fit_codebook
from .refine import refine_codes as refine_codes
