"""What a worker does: it reads one request as a line of JSON and answers in lines of JSON.

Nothing here knows who asked, so that another engine can run the same units elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import IO

import torch

from analysis.errors import PrunescopeError
from analysis.units import Message, Open, find_unit, open_case


def serve(open_source: Open, requests: IO[str] = sys.stdin, replies: IO[str] = sys.stdout) -> int:
    """Serve one request on one thread; returns the exit code."""

    def reply(message: Message) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    torch.set_num_threads(1)
    request = json.loads(requests.readline())
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the code of a network may print
            unit = find_unit(request.get("kind"))
            case = open_case(open_source, request)
            for part in unit(
                case, request["parameters"], request["known"], lambda share: reply({"share": share})
            ):
                reply({"result": part})
    except PrunescopeError as error:
        reply({"error": str(error)})
        return 2
    return 0
