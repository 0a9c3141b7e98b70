"""Objects in S3 by boto3: listing what lies below a prefix, asking for tags, and reading one object whole.

Knows addresses, retries and the words of S3's errors. Credentials, region and endpoint are found as in every AWS tool
(environment, shared files, the machine's role; `AWS_ENDPOINT_URL` for a server of your own). Refuses to know what
objects hold.
"""

import functools
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final

from segwright.errors import DataError, UserError
from segwright.storage.blobs import Blob
from segwright.storage.cache import Cache

_ATTEMPTS: Final = 4
"""How often an object is asked for when its body breaks off; boto3 itself repeats requests that fail before."""

_PAUSE: Final = 0.2  # seconds before the second attempt; doubled each time
_CONNECTIONS: Final = 32  # a process keeps no more open, and so has no more objects in flight
_MISSING: Final = ("NoSuchKey", "NoSuchBucket", "404", "NotFound")
_DENIED: Final = ("AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken")


@dataclass(frozen=True)
class S3Blob:
    """One object."""

    bucket: str
    key: str
    tag: str = ""
    """The entity tag where a listing or `with_tags` told it: it tells an object from what lay there before."""
    cache: Cache | None = None
    """Where its bytes are kept under their tag; without a tag they are fetched each time."""
    remote: bool = field(default=True, init=False)

    @property
    def name(self) -> str:
        """Its address."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def version(self) -> str:
        """The entity tag."""
        return self.tag

    def read(self) -> bytes:
        """All bytes of the object, from the cache where that has those of its tag.

        Raises DataError for objects that are missing, denied or cannot be had after several attempts.
        """
        if self.cache is None or not self.tag:
            return self._fetch()
        return self.cache.get(f"{self.name}\n{self.tag}", self._fetch)

    def _fetch(self) -> bytes:
        if not {".", ".."}.isdisjoint(self.key.split("/")):
            raise DataError(
                f"{self.name} is not asked for: HTTP follows the dots in a key, so that another object would be read. "
                "Copy it to a key without them."
            )
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                response = _client(os.getpid()).get_object(Bucket=self.bucket, Key=self.key)
                return bytes(response["Body"].read())
            except UserError:
                raise
            except Exception as error:
                if attempt == _ATTEMPTS or not _passes(error):
                    raise _told(error, self.name) from error
                time.sleep(_PAUSE * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")


def list_objects(bucket: str, prefix: str, cache: Cache | None = None) -> Iterator[S3Blob]:
    """The objects whose keys begin with `prefix`, in the order of their keys; names that end in a slash are left out.

    Raises DataError where the bucket is missing or denied.
    """
    try:
        for page in _client(os.getpid()).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                if not entry["Key"].endswith("/"):
                    yield S3Blob(bucket, entry["Key"], entry.get("ETag", ""), cache)
    except UserError:
        raise
    except Exception as error:
        raise _told(error, f"s3://{bucket}/{prefix}") from error


def with_tags(blobs: Sequence[Blob]) -> list[Blob]:
    """The same blobs; objects that a cache is to keep get the tags that they have now.

    Asks once for each object, for many at a time. An object whose tag cannot be had stays without one.
    """
    untagged = {blob for blob in blobs if isinstance(blob, S3Blob) and blob.cache is not None and not blob.tag}
    if not untagged:
        return list(blobs)
    _client(os.getpid())  # made by one thread
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        tagged: dict[Blob, Blob] = dict(zip(untagged, pool.map(_with_tag, untagged), strict=True))
    return [tagged.get(blob, blob) for blob in blobs]


def _with_tag(blob: S3Blob) -> S3Blob:
    try:
        head = _client(os.getpid()).head_object(Bucket=blob.bucket, Key=blob.key)
    except Exception:  # whatever it is, reading the object will tell; here it only means that nothing is kept
        return blob
    return replace(blob, tag=head.get("ETag", ""))


@functools.lru_cache(maxsize=1)
def _client(process: int) -> Any:  # a client must not be shared with a forked process, so each has its own
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise UserError("s3:// addresses need boto3, which is not installed: pip install 'segwright[s3]'.") from error
    return boto3.session.Session().client(
        "s3",
        config=Config(
            retries={"mode": "standard", "max_attempts": 5},
            max_pool_connections=_CONNECTIONS,
            connect_timeout=10,
            read_timeout=30,
        ),
    )


def _passes(error: Exception) -> bool:
    """Whether another attempt may succeed: a body that broke off, a connection that was cut."""
    from botocore import exceptions

    return isinstance(error, exceptions.IncompleteReadError | exceptions.HTTPClientError)


def _told(error: Exception, name: str) -> UserError:
    """One sentence of what S3 or boto3 said."""
    details = (getattr(error, "response", None) or {}).get("Error", {})
    code = str(details.get("Code", ""))
    if code in _MISSING:
        return DataError(f"{name} does not exist ({code}); correct the address.")
    if code in _DENIED:
        return DataError(
            f"{name} may not be read ({code}): the credentials in use need s3:GetObject on it and s3:ListBucket on "
            "its bucket."
        )
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return DataError(
            f"{name}: no AWS credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "AWS_PROFILE, or give the machine a role."
        )
    return DataError(f"{name} cannot be read: {error}.")
