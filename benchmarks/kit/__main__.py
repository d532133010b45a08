"""`python -m benchmarks.kit {echo,group,idle,http}`: run one mode against a server and print one JSON object."""

import argparse
import asyncio
import json

import uvloop

from benchmarks.kit.echo import echo
from benchmarks.kit.group import group
from benchmarks.kit.http import http
from benchmarks.kit.idle import idle

_MODES = {"echo": echo, "group": group, "idle": idle, "http": http}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kit", description=__doc__)
    modes = parser.add_subparsers(dest="mode", required=True)
    for name, function in _MODES.items():
        mode = modes.add_parser(name, help=(function.__doc__ or "").splitlines()[0])
        mode.add_argument("--url", required=True)
        mode.add_argument("--pids", default="", help="name=pid,name=pid: the server's processes")
        if name in ("echo", "http"):
            mode.add_argument("--conns", type=int, default=32 if name == "http" else 10)
            mode.add_argument("--warmup", type=float, default=2.0)
        if name != "idle":
            mode.add_argument("--duration", type=float, default=10.0, help="seconds (group: of the paced sends)")
        if name != "http":
            mode.add_argument("--connect-concurrency", type=int, default=50, help="handshakes under way at most")
            mode.add_argument("--timeout", type=float, default=60.0, help="seconds for a handshake or a send")
            mode.add_argument("--size", type=int, default=64, help="bytes of a text")
    _add_own(modes.choices)
    return parser


def _add_own(modes: dict[str, argparse.ArgumentParser]) -> None:
    modes["echo"].add_argument("--drain", type=float, default=3.0, help="seconds for the last answers")
    modes["echo"].add_argument("--pause", type=float, default=0.0, help="seconds between an answer and the next text")
    modes["echo"].add_argument(
        "--slow", type=int, default=0, help="one text in so many begins with slow, and is not counted"
    )
    for name in ("group", "idle"):
        modes[name].add_argument("--settle", type=float, default=2.0, help="seconds of rest after connecting")
    modes["idle"].add_argument("--steps", default="1000,5000", help="numbers of sockets")
    modes["idle"].add_argument("--deflate", action="store_true", help="offer permessage-deflate")
    modes["idle"].add_argument("--hold", type=float, default=5.0, help="seconds to hold each step")
    group_mode = modes["group"]
    group_mode.add_argument("--conns", type=int, default=100)
    group_mode.add_argument("--sender", required=True, help="the command of the sender process")
    group_mode.add_argument("--group", default="bench")
    group_mode.add_argument("--join", default="", help="what a socket says first; its answer begins likewise")
    group_mode.add_argument("--sends", type=int, default=30, help="sends one by one")
    group_mode.add_argument("--timeout-full", type=float, default=15.0, help="seconds for the last receipt")
    group_mode.add_argument("--rate", type=float, default=0, help="paced sends per second")
    group_mode.add_argument("--delivery-rate", type=float, default=2000, help="else: paced deliveries per second")


def main() -> None:
    """Run the mode that the command line names."""
    options = _parser().parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(_MODES[options.mode](options))))


if __name__ == "__main__":
    main()
