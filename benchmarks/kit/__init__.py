"""The load kit: a WebSocket client, wrk, and the CPU and memory of the server's processes beside them.

`python -m benchmarks.kit MODE --url … --pids interface=1,worker=2` prints one JSON object. Linux only (/proc). It knows
nothing of what it measures, so that any other server can be measured with it.
"""
