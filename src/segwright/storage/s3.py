"""Objects in S3 by boto3: listing, entity tags, reading whole objects. Credentials, region and endpoint are found as in
every AWS tool (environment, shared files, the machine's role; `AWS_ENDPOINT_URL` for a server of your own).
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

_PAUSES: Final = (0.2, 0.4, 0.8)  # seconds before new attempts when a body breaks off; boto3 repeats what fails earlier
_CONNECTIONS: Final = 32  # of a process, and so its objects in flight
_MISSING: Final = ("NoSuchKey", "NoSuchBucket", "404", "NotFound")
_DENIED: Final = ("AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken")


@dataclass(frozen=True)
class S3Blob:
    """One object."""

    bucket: str
    key: str
    version: str = ""  # the entity tag, from a listing or `with_tags`
    cache: Cache | None = None  # where its bytes are kept under their tag; without a tag they are fetched each time
    remote: bool = field(default=True, init=False)

    @property
    def name(self) -> str:
        """Its address."""
        return f"s3://{self.bucket}/{self.key}"

    def read(self) -> bytes:
        """All bytes of the object, cached or fetched. Raises DataError for objects that are missing or denied, or where
        several attempts failed.
        """
        if self.cache is None or not self.version:
            return self._fetch()
        return self.cache.get(f"{self.name}\n{self.version}", self._fetch)

    def _fetch(self) -> bytes:
        if not {".", ".."}.isdisjoint(self.key.split("/")):
            raise DataError(
                f"{self.name} is not requested: HTTP follows the dots in a key, so that another object would be read. "
                "Copy it to a key without them.",
                file=self.name,
            )
        pauses = iter(_PAUSES)
        while True:
            try:
                return bytes(_client(os.getpid()).get_object(Bucket=self.bucket, Key=self.key)["Body"].read())
            except UserError:
                raise
            except Exception as error:
                from botocore.exceptions import HTTPClientError, IncompleteReadError

                pause = next(pauses, None)
                if pause is None or not isinstance(error, IncompleteReadError | HTTPClientError):
                    raise _s3_error(error, self.name) from error
                time.sleep(pause)


def list_objects(bucket: str, prefix: str, cache: Cache | None = None) -> Iterator[S3Blob]:
    """The objects whose keys begin with `prefix`, sorted, without names that end in a slash. Raises DataError."""
    try:
        for page in _client(os.getpid()).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                if not entry["Key"].endswith("/"):
                    yield S3Blob(bucket, entry["Key"], entry.get("ETag", ""), cache)
    except UserError:
        raise
    except Exception as error:
        raise _s3_error(error, f"s3://{bucket}/{prefix}") from error


def with_tags(blobs: Sequence[Blob]) -> list[Blob]:
    """The same blobs; objects that a cache is to keep get their current tags, where they can be read."""
    untagged = {blob for blob in blobs if isinstance(blob, S3Blob) and blob.cache is not None and not blob.version}
    if not untagged:
        return list(blobs)
    client = _client(os.getpid())

    def with_tag(blob: S3Blob) -> S3Blob:
        try:
            return replace(blob, version=client.head_object(Bucket=blob.bucket, Key=blob.key).get("ETag", ""))
        except Exception:  # reading the object reports it; here it is only not cached
            return blob

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        tagged: dict[Blob, Blob] = dict(zip(untagged, pool.map(with_tag, untagged), strict=True))
    return [tagged.get(blob, blob) for blob in blobs]


@functools.lru_cache(maxsize=1)
def _client(process: int) -> Any:  # one for each process: a forked one must not share it
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise UserError("s3:// addresses need boto3, which is not installed: pip install 'segwright[s3]'.") from error
    retries = {"mode": "standard", "max_attempts": 5}
    config = Config(retries=retries, max_pool_connections=_CONNECTIONS, connect_timeout=10, read_timeout=30)
    return boto3.session.Session().client("s3", config=config)


def _s3_error(error: Exception, name: str) -> DataError:
    code = str((getattr(error, "response", None) or {}).get("Error", {}).get("Code", ""))
    if code in _MISSING:
        problem = f" does not exist ({code}); correct the address."
    elif code in _DENIED:
        problem = f" may not be read ({code}): the credentials need s3:GetObject on it, s3:ListBucket on its bucket."
    elif type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        problem = (
            ": no AWS credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give "
            "the machine a role."
        )
    else:
        problem = f" cannot be read: {error}."
    return DataError(name + problem, file=name)
