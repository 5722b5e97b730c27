"""Sites without their processes: many of them in one process, each a thread that speaks to SuperLink as a SuperNode does.

    python benchmarks/light_sites.py KEYS HOST:PORT CA REPORT RUNNING    # KEYS: a folder of private keys, one a site

The link of a site is Flower's own (`http_request_response`: TLS, a signed header on every request, heartbeats), the loop around
it is that of Flower's `start_client_internal` (pull, fetch, confirm, answer, push, and 3 s of rest when there was nothing), and
answers pass the site's own gate. Made up are the work and what comes of it. A real site answers up to a second later, as its
SuperNode hands the request to another process and looks for the answer twice a second.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from flwr.app import Message
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    inflate_object_from_contents,
    pull_objects,
    push_objects,
)
from flwr.supernode.fleet_http_connection import http_request_response

from c2lst_client.federation.boundary import answer
from c2lst_shared import atomic
from c2lst_shared.stopping import stop_on_signal
from c2lst_shared.wire import (
    ArmResult,
    ChangeEstimate,
    CorrelationEstimate,
    LossEstimate,
    QueryStatus,
    RoundOffer,
    RoundResult,
    RoundStatus,
    parse_answer,
    parse_request,
)

REST_SECONDS = 3.0  # of a SuperNode that found nothing; the same number is in Flower
RESTART_SECONDS = 4.0  # of the first pause of a supervisor and the start of a SuperNode
STEPS = 800


class LightSite:
    """One site: what it says, and the requests that it made to say it.

    Args:
        key: what it proves itself with.
        requests: where its requests are counted, with those of others.
        running: times that it says that it works, before it has a result.
    """

    def __init__(self, key: EllipticCurvePrivateKey, requests: Counter[str], running: int) -> None:
        self._keys = (key, key.public_key())
        self._requests = requests
        self._running = running
        self._runs: set[int] = set()
        self._questions = 0

    def serve(self, superlink: str, ca_pem: bytes, stop: threading.Event) -> None:
        """Take part until `stop` is set."""
        stop.wait(random.uniform(0, REST_SECONDS))  # SuperNodes are not in step with one another
        while not stop.is_set():
            with suppress(SystemExit):  # Flower's way to say that there was no link
                self._serve_linked(superlink, ca_pem, stop)
            if not stop.is_set():  # as a SuperNode that ended and is started again by its supervisor
                self._requests["relinks"] += 1
                stop.wait(RESTART_SECONDS)

    def _serve_linked(self, superlink: str, ca_pem: bytes, stop: threading.Event) -> None:
        """Take part until `stop` is set or a poll fails, whose error Flower writes down."""
        with http_request_response(superlink, False, ca_pem, self._keys) as link:
            while not stop.is_set():
                self._requests["polls"] += 1
                received = link[1]()
                if received is None:
                    stop.wait(REST_SECONDS)
                    continue
                try:
                    self._exchange(link, *received)
                except (httpx.HTTPError, ObjectPullError, ObjectPushError):
                    self._requests["lost"] += 1  # a SuperNode goes on with the next one

    def _exchange(self, link: tuple[Any, ...], head: Message, tree: ObjectTree) -> None:
        """Fetch one request and answer it."""
        _, _, send, get_run, get_fab, pull_object, push_object, confirm = link
        run_id = head.metadata.run_id
        if run_id not in self._runs:
            get_fab(get_run(run_id).fab_hash, run_id)
            self._runs.add(run_id)
            self._requests["other"] += 2
        ids = [part.object_id for part in iterate_object_tree(tree)]
        contents = pull_objects(ids, partial(pull_object, run_id))
        confirm(run_id, head.metadata.message_id)
        request = inflate_object_from_contents(tree.object_id, contents)
        request.metadata.__dict__["_message_id"] = tree.object_id
        reply = answer(request, self.handle, parse_answer)
        with no_object_id_recompute():
            reply.metadata.__dict__["_message_id"] = reply.object_id
            wanted, session = send(reply, get_object_tree(reply), 0.0)
            push_objects(get_all_nested_objects(reply), partial(push_object, run_id, session), object_ids_to_push=wanted)
        self._requests["answers"] += 1
        self._requests["other"] += len(ids) + 2 + len(wanted)

    def handle(self, body: bytes) -> bytes:
        """Answer as a site that takes an offer up and works: queued, running, then the result."""
        match parse_request(body):
            case RoundOffer(round_id=round_id):
                return RoundStatus(round_id=round_id, state="queued").model_dump_json().encode()
            case QueryStatus(round_id=round_id):
                self._questions += 1
                if self._questions > self._running:
                    return result(round_id).model_dump_json().encode()
                step = STEPS * self._questions // (self._running + 1)
                told = RoundStatus(
                    round_id=round_id, state="running", stage="adapt", step=step, steps=STEPS, eta_seconds=(STEPS - step) // 3
                )
                return told.model_dump_json().encode()
            case request:
                return RoundStatus(round_id=request.round_id, state="cancelled").model_dump_json().encode()


def result(round_id: str) -> RoundResult:
    """A result with everything that one may have."""
    mae = LossEstimate(value=0.7634, low=0.7105, high=0.8251)
    change = ChangeEstimate(value=0.006123, low=-0.0001234, high=0.01312)
    kinds = ("mean", "real", "real+augmentation", "synthetic", "real+synthetic", "real+synthetic+augmentation")
    return RoundResult(
        round_id=round_id,
        train_spots=65,
        held_out_spots=195,
        genes=250,
        denoising_loss=LossEstimate(value=0.04123, low=0.04011, high=0.04251),
        conditioning_r=CorrelationEstimate(value=0.8671, low=0.8412, high=0.9034),
        concordance=CorrelationEstimate(value=0.8543, low=0.8121, high=0.8934),
        arms=tuple(
            ArmResult(kind=kind, ratio=10 if "synthetic" in kind else None, seeds=3, mae=mae, change=change) for kind in kinds
        ),
        seconds=1873,
        peak_memory_mib=863,
    )


def main() -> None:
    """Serve until a signal comes; meanwhile REPORT says how many requests were made so far."""
    keys, superlink, ca, report, running = (
        Path(sys.argv[1]),
        sys.argv[2],
        Path(sys.argv[3]),
        Path(sys.argv[4]),
        int(sys.argv[5]),
    )
    requests = Counter(polls=0, answers=0, other=0, lost=0, relinks=0)
    stop = threading.Event()
    threads = []
    for path in sorted(keys.glob("*.pem")):
        key = load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, EllipticCurvePrivateKey)
        site = LightSite(key, requests, running)
        threads.append(threading.Thread(target=site.serve, args=(superlink, ca.read_bytes(), stop), name=path.stem))
    with stop_on_signal() as asked:
        for thread in threads:
            thread.start()
        while not asked():
            atomic.write_text(report, json.dumps(requests))
            stop.wait(0.5)
        stop.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
