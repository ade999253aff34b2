from .estimator import GeodesicKMedoids as GeodesicKMedoids
from .nearest import nearest_medoid as nearest_medoid
from .search import KMedoids as KMedoids
from .search import k_medoids as k_medoids
