"""Chaos between a build and its bucket: connections drop, answers are late, wrong, or lost.

This module does not know how a build is judged (`bench.chaos.builds`).
"""

import logging
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import boto3

from bench.chaos.builds import Builder, Toll, build_words, disturbed, judge, undisturbed_bytes
from bench.chaos.local import kill_one_worker
from bench.chaos.proxy import Trouble, troubled

_BUCKET: Final = "bucket"
_SHARE: Final = 0.15  # of requests that meet trouble
_WORKERS: Final = 2


def trouble_about(
    place: Path, people: int, faults: int, kills: int, seed: int, say: Callable[[str], None]
) -> tuple[Toll, Trouble]:
    """Builds into a bucket, one after the other, until so many requests met trouble; workers die meanwhile, too."""
    from moto.server import ThreadedMotoServer

    chance, toll, undisturbed = random.Random(seed), Toll(), undisturbed_bytes(people, place / "undisturbed")
    trouble = Trouble(seed, _SHARE)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would tell every request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        direct = f"http://{host}:{port}"
        os.environ.update(environment_of(direct))
        boto3.client("s3").create_bucket(Bucket=_BUCKET)
        with troubled(direct, trouble) as endpoint:
            while trouble.happened.total() < faults:
                url = f"s3://{_BUCKET}/build-{toll.builds:03d}"
                words = build_words(people, url, "--workers", str(_WORKERS))
                builder = Builder(words, place / "builds.log", environment_of(endpoint))
                ways = {"worker": lambda: kill_one_worker(chance), "driver": builder.kill}
                code = disturbed(builder, ways, chance, toll, most=kills - toll.killed)
                judge(url, code, undisturbed, toll)
                say(f"{url}: {trouble.happened.total()} faults so far; {toll.story}")
    finally:
        server.stop()
    return toll, trouble


def environment_of(endpoint: str) -> Mapping[str, str]:
    """By which boto3 finds a server that asks for no real credentials."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
