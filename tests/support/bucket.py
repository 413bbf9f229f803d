"""Serves a bucket on loopback. moto emulates S3 in a separate process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

BUCKET, REGION = "lake", "eu-central-1"
OF_LAKE = "DESTINATION__FILESYSTEM__"


@contextmanager
def bucket_server() -> Iterator[str]:
    """Yields the address of a server with an empty bucket."""
    spawned = get_context("spawn")
    here, there = spawned.Pipe()
    process = spawned.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        address = here.recv()
        filesystem(address).mkdir(BUCKET)
        yield address
    finally:
        here.send("enough")
        process.join()


def _serve(connection: Any) -> None:
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    connection.send("http://{}:{}".format(*server.get_host_and_port()))
    connection.recv()
    server.stop()


def filesystem(address: str) -> Any:
    """Returns the file system through which a test reads the bucket."""
    from s3fs import S3FileSystem

    credentials = {"key": "a-key", "secret": "its-secret", "endpoint_url": address}
    return S3FileSystem(**credentials, client_kwargs={"region_name": REGION}, use_listings_cache=False)


def settings_of(address: str, folder: str) -> dict[str, str]:
    """Returns the environment variables of a project whose lake is in `folder` of the bucket."""
    return {
        "PIPELINE__DESTINATION": "delta",
        f"{OF_LAKE}BUCKET_URL": f"s3://{BUCKET}/{folder}",
        f"{OF_LAKE}CREDENTIALS__AWS_ACCESS_KEY_ID": "a-key",
        f"{OF_LAKE}CREDENTIALS__AWS_SECRET_ACCESS_KEY": "its-secret",
        f"{OF_LAKE}CREDENTIALS__ENDPOINT_URL": address,
        f"{OF_LAKE}CREDENTIALS__REGION_NAME": REGION,
        f"{OF_LAKE}DELTALAKE_STORAGE_OPTIONS": '{"AWS_ALLOW_HTTP": "true"}',  # a real bucket uses HTTPS
    }


def downloaded(address: str, folder: str, to: Path) -> Path:
    """Downloads `folder` of the bucket to `to`, and returns `to`."""
    there = filesystem(address)
    for name in there.find(f"{BUCKET}/{folder}"):
        file = to / name.removeprefix(f"{BUCKET}/{folder}/")
        file.parent.mkdir(parents=True, exist_ok=True)
        there.get_file(name, str(file))
    return to
