from .crops import crop_to_multiple as crop_to_multiple
from .crops import draw_crops as draw_crops
from .folder import find_images as find_images
from .pixels import read_image as read_image
