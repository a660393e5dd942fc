"""The client of the echo server, a separate program: it must not need the server's GIL.

It is run by path, imports only the standard library, and takes its orders line by line:

    connect PORT
    ask NANOSECONDS     -> {"requests": ..., "elapsed_ns": ..., "p50_ns": ..., "p99_ns": ...}
    close

Each is answered by a line of JSON. It ends with its standard input, so that it never outlives its parent.
"""

from __future__ import annotations

import json
import socket
import sys
import time

_PATIENCE_S = 20.0
_MOST = 200_000


def ask(connection: socket.socket, duration_ns: int) -> dict[str, int]:
    """Send a byte and read it back, repeatedly, and note the durations."""
    clock = time.perf_counter_ns
    latencies: list[int] = []
    start_ns = before_ns = clock()
    while before_ns - start_ns < duration_ns and len(latencies) < _MOST:
        connection.sendall(b"x")
        if not connection.recv(1):
            break
        now_ns = clock()
        latencies.append(now_ns - before_ns)
        before_ns = now_ns
    latencies.sort()
    return {
        "requests": len(latencies),
        "elapsed_ns": before_ns - start_ns,
        "p50_ns": quantile(latencies, 50),
        "p99_ns": quantile(latencies, 99),
    }


def quantile(ranked: list[int], percent: int) -> int:
    """Return a percentile by rank; 0 without numbers."""
    return ranked[max(0, -(-percent * len(ranked) // 100) - 1)] if ranked else 0


def main() -> None:
    """Take orders until there are no more."""
    connection = None
    for line in sys.stdin:
        order, _, argument = line.strip().partition(" ")
        answer: dict[str, int] = {}
        if order == "connect":
            connection = socket.create_connection(("127.0.0.1", int(argument)), timeout=_PATIENCE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        elif order == "ask" and connection is not None:
            answer = ask(connection, int(argument))
        elif order == "close" and connection is not None:
            connection.close()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
