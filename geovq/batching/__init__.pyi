from .chunks import Progress as Progress
from .chunks import map_chunks as map_chunks
from .chunks import padded_chunks as padded_chunks
from .run import DEFAULT_PLAN as DEFAULT_PLAN
from .run import Kernel as Kernel
from .run import Plan as Plan
from .run import settle as settle
