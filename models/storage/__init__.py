"""Files: tensors mapped from safetensors, packed weights, digests, and the locks and folders that they need.

Knows bytes and tensors, nothing of speech.
"""

from models.storage.cache_folder import cache_directory
from models.storage.digest import content_digest
from models.storage.file_lock import alone_if_free
from models.storage.packed_cache import lock_of, open_packed
from models.storage.safetensors_writer import SafetensorsWriter
from models.storage.tensor_file import TensorFile, TensorSource, open_tensors

__all__ = [
    "SafetensorsWriter",
    "TensorFile",
    "TensorSource",
    "alone_if_free",
    "cache_directory",
    "content_digest",
    "lock_of",
    "open_packed",
    "open_tensors",
]
