"""Where bytes lie and how they get there: files, objects in S3, and outputs that appear all at once.

`aside` writes files and folders under a temporary name; `safe_names` makes paths of names from outside; `archives`
unpacks a model's; `places` says what a path or an `s3://` address is and what lies below it; `blobs` are bytes that can
be read; `s3` fetches objects and `cache` keeps them on the disk.
"""

from segwright.storage.archives import MAX_UNPACKED, unpack_archive
from segwright.storage.atomic import (
    directory_aside,
    refuse_existing,
    refuse_unwritable_file,
    refuse_unwritable_folder,
    write_aside,
    write_bytes,
    write_json,
)
from segwright.storage.blobs import Blob, FileBlob, HeldBlob, PartsBlob
from segwright.storage.cache import Cache
from segwright.storage.locations import (
    Place,
    S3Place,
    as_place,
    entries,
    files_below,
    is_file,
    is_folder,
    names_in,
    open_blob,
    visible,
)
from segwright.storage.s3 import with_tags
from segwright.storage.safe_names import leads_below, path_below

__all__ = [
    "MAX_UNPACKED",
    "Blob",
    "Cache",
    "FileBlob",
    "HeldBlob",
    "PartsBlob",
    "Place",
    "S3Place",
    "as_place",
    "directory_aside",
    "entries",
    "files_below",
    "is_file",
    "is_folder",
    "leads_below",
    "names_in",
    "open_blob",
    "path_below",
    "refuse_existing",
    "refuse_unwritable_file",
    "refuse_unwritable_folder",
    "unpack_archive",
    "visible",
    "with_tags",
    "write_aside",
    "write_bytes",
    "write_json",
]
