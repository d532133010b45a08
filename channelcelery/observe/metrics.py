"""Every metric by name, and how plain counters become what Prometheus reads.

Who counts keeps plain numbers. They are read when somebody asks: counting costs an addition, whether or not one does.
Labels have values from fixed sets and from the routing only, never from what a client or a message says.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["METRICS", "PREFIX", "Metric", "Value", "families"]

PREFIX = "channelcelery_"

#: A number; or numbers by the value of a label, or by the values of several; of a summary a count and a sum.
Value = float | Mapping[str, float] | Mapping[tuple[str, ...], float] | Mapping[str, tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Args:
        name: without the prefix, and without the ending that its kind adds.
        kind: "counter", "gauge" or "summary".
        text: what it says, in a line.
        labels: their names.
    """

    name: str
    kind: str
    text: str
    labels: tuple[str, ...] = ()

    @property
    def samples(self) -> tuple[str, ...]:
        """The names that queries use."""
        endings = {"counter": ("_total",), "gauge": ("",), "summary": ("_count", "_sum")}
        return tuple(f"{PREFIX}{self.name}{ending}" for ending in endings[self.kind])


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("ready", "gauge", "1 while the process does its work, as /ready says"),
        Metric("dropped", "counter", "what was dropped, refused or survived", ("reason",)),
        Metric("connections", "gauge", "sockets, and HTTP requests under way, of an interface process", ("kind",)),
        Metric("groups", "gauge", "groups that hold sockets of an interface process"),
        Metric("published", "counter", "messages of sockets and requests that the broker took", ("channel",)),
        Metric("publish_waiting", "gauge", "messages of an interface process that wait for the broker"),
        Metric("delivered", "counter", "replies and group sends that an interface process read", ("kind",)),
        Metric("inbox_entries", "gauge", "what waits in the inbox of an interface process"),
        Metric("inbox_bytes", "gauge", "bytes of that"),
        Metric("inbox_lag_seconds", "gauge", "how long the oldest of that has waited"),
        Metric("run", "counter", "messages whose consumer ran, failed ones included"),
        Metric("failed", "counter", "messages whose consumer raised"),
        Metric("sent", "counter", "what consumers sent, dropped or not", ("kind",)),
        Metric("consumer_seconds", "summary", "runs of consumers and the seconds that they took", ("consumer",)),
        Metric("consumer_failed", "counter", "runs of consumers that raised", ("consumer",)),
        Metric("reliable_run", "counter", "runs of messages of reliable channels", ("channel", "ended")),
        Metric("reliable_seconds", "counter", "seconds that these runs took", ("channel",)),
        Metric("worker_waiting", "gauge", "messages that a worker has taken and not begun"),
        Metric("worker_jobs", "gauge", "jobs that a worker's pool has"),
        Metric("worker_slots", "gauge", "jobs that a worker's pool can have"),
        Metric("queue_depth", "gauge", "messages of the broker that wait; each may carry many", ("layer", "channel")),
    )
}


def families(values: Mapping[str, Value]) -> Iterator[Any]:
    """Yield what Prometheus's client library makes its text of.

    Args:
        values: by the names of `METRICS`.
    """
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

    kinds: Mapping[str, Callable[..., Any]] = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "summary": SummaryMetricFamily,
    }
    for name, value in values.items():
        metric = METRICS[name]
        family = kinds[metric.kind](PREFIX + name, metric.text, labels=metric.labels)
        by_labels: Mapping[Any, Any] = value if isinstance(value, Mapping) else {(): value}
        for labels, number in by_labels.items():
            each = (labels,) if isinstance(labels, str) else labels
            if isinstance(number, tuple):
                family.add_metric(each, count_value=number[0], sum_value=number[1])
            else:
                family.add_metric(each, number)
        yield family
