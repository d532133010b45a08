"""docs/observing.md and the example dashboard: every metric that they name exists, and the other way round."""

import json
import re
from pathlib import Path

from channelcelery.observe.metrics import METRICS, PREFIX

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
SAMPLES = {sample: metric for metric in METRICS.values() for sample in metric.samples}


def test_the_table_has_every_metric_with_its_kind_labels_and_text() -> None:
    rows = re.findall(r"^\| (`channelcelery_.*) \|$", (DOCS / "observing.md").read_text(), re.MULTILINE)
    found = {}
    for row in rows:
        names, kind, labels, _, text = (cell.strip() for cell in row.split("|"))
        found[tuple(re.findall(r"`(\w+)`", names))] = kind, tuple(re.findall(r"`(\w+)`", labels)), text
    assert found == {metric.samples: (metric.kind, metric.labels, metric.text) for metric in METRICS.values()}


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    dashboard = json.loads((DOCS / "dashboards" / "grafana.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    named = {name for target in targets for name in re.findall(rf"{PREFIX}\w+", target["expr"])}
    assert named <= set(SAMPLES)
    assert {SAMPLES[name].name for name in named} == set(METRICS)


def test_the_dashboard_sums_by_labels_that_exist() -> None:
    dashboard = json.loads((DOCS / "dashboards" / "grafana.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            metrics = [SAMPLES[name] for name in re.findall(rf"{PREFIX}\w+", target["expr"])]
            used = {label.strip() for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in by.split(",")}
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            # Prometheus adds `instance`
            assert all(used | shown <= {*metric.labels, "instance"} for metric in metrics), target["expr"]
