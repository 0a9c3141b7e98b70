"""Files, objects in S3, and outputs that appear all at once."""

from segwright.storage.archives import MAX_UNPACKED as MAX_UNPACKED
from segwright.storage.archives import unpack_archive as unpack_archive
from segwright.storage.atomic import atomic_directory as atomic_directory
from segwright.storage.atomic import atomic_file as atomic_file
from segwright.storage.atomic import check_replaceable as check_replaceable
from segwright.storage.atomic import check_writable_file as check_writable_file
from segwright.storage.atomic import check_writable_folder as check_writable_folder
from segwright.storage.atomic import write_bytes as write_bytes
from segwright.storage.atomic import write_json as write_json
from segwright.storage.blobs import Blob as Blob
from segwright.storage.blobs import BytesBlob as BytesBlob
from segwright.storage.blobs import FileBlob as FileBlob
from segwright.storage.blobs import FileRangesBlob as FileRangesBlob
from segwright.storage.cache import Cache as Cache
from segwright.storage.locations import Location as Location
from segwright.storage.locations import S3Location as S3Location
from segwright.storage.locations import describe_folder as describe_folder
from segwright.storage.locations import is_file as is_file
from segwright.storage.locations import is_folder as is_folder
from segwright.storage.locations import list_folder as list_folder
from segwright.storage.locations import open_blob as open_blob
from segwright.storage.locations import parse_location as parse_location
from segwright.storage.locations import walk_files as walk_files
from segwright.storage.s3 import with_tags as with_tags
from segwright.storage.safe_names import leads_below as leads_below
from segwright.storage.safe_names import path_below as path_below
