from .budget import passes_within as passes_within
from .chunks import Progress as Progress
from .chunks import map_chunks as map_chunks
from .chunks import padded_chunks as padded_chunks
from .plan import DEFAULT_PLAN as DEFAULT_PLAN
from .plan import Plan as Plan
from .plan import settle as settle
from .run import Kernel as Kernel
