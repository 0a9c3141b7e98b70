"""Where bytes lie and how they get there: files, objects in S3, and outputs that appear all at once.

`aside` writes files and folders under a temporary name; `safe_names` makes paths of names from outside; `archives`
unpacks a model's; `places` says what a path or an `s3://` address is and what lies below it; `blobs` are bytes that can
be read; `s3` fetches objects and `cache` keeps them on the disk.
"""

from segwright.storage.archives import MAX_UNPACKED, unpack_archive
from segwright.storage.atomic import (
    atomic_directory,
    atomic_file,
    check_replaceable,
    check_writable_file,
    check_writable_folder,
    write_bytes,
    write_json,
)
from segwright.storage.blobs import Blob, BytesBlob, FileBlob, FileRangesBlob
from segwright.storage.cache import Cache
from segwright.storage.locations import (
    Location,
    S3Location,
    describe_folder,
    entries,
    is_file,
    is_folder,
    open_blob,
    parse_location,
    visible,
    walk_files,
)
from segwright.storage.s3 import with_tags
from segwright.storage.safe_names import leads_below, path_below

__all__ = [
    "MAX_UNPACKED",
    "Blob",
    "BytesBlob",
    "Cache",
    "FileBlob",
    "FileRangesBlob",
    "Location",
    "S3Location",
    "atomic_directory",
    "atomic_file",
    "check_replaceable",
    "check_writable_file",
    "check_writable_folder",
    "describe_folder",
    "entries",
    "is_file",
    "is_folder",
    "leads_below",
    "open_blob",
    "parse_location",
    "path_below",
    "unpack_archive",
    "visible",
    "walk_files",
    "with_tags",
    "write_bytes",
    "write_json",
]
