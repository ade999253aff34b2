from .crops import crop_to_multiple as crop_to_multiple
from .crops import draw_crops as draw_crops
from .folder import find_images as find_images
from .pixels import read_image as read_image
from .sources import open_images as open_images
from .token_shards import export_stream as export_stream
from .token_shards import open_tokens as open_tokens
