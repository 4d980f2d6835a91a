"""The Grafana dashboards: their shape, the syntax of every query, and that each query finds something where Tidewatch is scraped.

There is no Grafana here. PromQL is judged by promtool: it evaluates each panel's queries over series that are made from docs/metrics.md
with the labels written there, so a metric, a label or a label's value that does not exist leaves a panel empty and fails.
"""

import json
import re
import tempfile
import unittest
from pathlib import Path

from chart import CHART, ROOT, ci_values, dump, of_kind, render, run, tool, undocumented

BOARDS = {file.stem: json.loads(file.read_text()) for file in sorted((CHART / "files/dashboards").glob("*.json"))}

# Values of the labels that a query may pick one of; the others get their name as their value.
LABEL_VALUES = {
    "severity": ["low", "warning", "minor", "major", "critical"],
    "finality": ["interim", "final"],
    "kind": ["assigned", "released", "lost"],
    "job_id": ["web"],
}
OUTCOMES = {"tidewatch_snapshots_total": ["stored", "failed", "unusable"], "tidewatch_transactions_total": ["committed", "aborted"]}
TARGET = 'job="tidewatch", namespace="streams", instance="a"'
FOREIGN = [
    f"up{{{TARGET}}}",
    f"process_cpu_seconds_total{{{TARGET}}}",
    f"process_resident_memory_bytes{{{TARGET}}}",
    'kafka_consumergroup_lag{consumergroup="tidewatch.web", topic="logs"}',
]
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$__interval": "1m", "$job_id": "web", "$job": "tidewatch", "$namespace": "streams"}


def panels(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries(board):
    """(panel's title, query) of every target."""
    return [(panel["title"], target["expr"]) for panel in panels(board) for target in panel["targets"]]


def filled_in(query):
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    return query


def series():
    """One series for each metric of docs/metrics.md and each value of its labels."""
    for name, kind, labels in re.findall(r"^\| `(tidewatch_\w+)` \| (\w+) \| ([^|]*) \|", (ROOT / "docs/metrics.md").read_text(), re.M):
        sets = [""]
        for label in [label.strip() for label in labels.split(",") if label.strip() not in ("", "–")]:
            values = OUTCOMES.get(name, ["?"]) if label == "outcome" else LABEL_VALUES.get(label, [label])
            sets = [f'{held}, {label}="{value}"' for held in sets for value in values]
        for held in sets:
            if kind == "histogram":
                for le in ["1", "300", "+Inf"]:
                    yield f'{name}_bucket{{{TARGET}{held}, le="{le}"}}'
                yield f"{name}_count{{{TARGET}{held}}}"
            else:
                yield f"{name}{{{TARGET}{held}}}"


class Dashboards(unittest.TestCase):
    def test_there_is_one_about_the_service_and_one_about_what_it_found(self):
        self.assertEqual({name: board["uid"] for name, board in BOARDS.items()}, {name: f"tidewatch-{name}" for name in ["anomalies", "operations"]})

    def test_they_can_be_imported_anywhere(self):
        for board in BOARDS.values():
            self.assertIsNone(board["id"])
            self.assertEqual(board["refresh"], "30s")
            self.assertGreaterEqual(board["schemaVersion"], 36)
            self.assertIn("tidewatch", board["tags"])
            variables = [variable["name"] for variable in board["templating"]["list"]]
            self.assertEqual(variables, ["datasource", "job", "namespace", "job_id"])
            for panel in panels(board):
                for holder in [panel, *panel["targets"]]:
                    self.assertEqual(holder["datasource"], {"type": "prometheus", "uid": "${datasource}"}, panel["title"])

    def test_each_panel_says_what_it_shows_and_in_what_unit(self):
        for board in BOARDS.values():
            for panel in panels(board):
                with self.subTest(panel["title"]):
                    self.assertGreater(len(panel["description"]), 15)
                    self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
                    self.assertTrue(panel["targets"])
                    self.assertIn(panel["type"], ["timeseries", "stat", "table", "state-timeline"])

    def test_no_panel_lies_on_another(self):
        for board in BOARDS.values():
            ids = [panel["id"] for panel in board["panels"]]
            self.assertEqual(len(ids), len(set(ids)))
            titles = [panel["title"] for panel in board["panels"]]
            self.assertEqual(len(titles), len(set(titles)))
            taken = {}
            for panel in board["panels"]:
                at = panel["gridPos"]
                self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
                for cell in [(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]:
                    self.assertNotIn(cell, taken, f"{panel['title']} lies on {taken.get(cell)}")
                    taken[cell] = panel["title"]

    def test_every_query_is_about_the_chosen_jobs_and_known_metrics(self):
        for board in BOARDS.values():
            for title, query in queries(board):
                with self.subTest(title):
                    self.assertEqual(undocumented(query), set())
                    for selector in re.findall(r"(?:tidewatch|process)_\w+\{(.*?)\}|up\{(.*?)\}", query):
                        self.assertIn('job=~"$job", namespace=~"$namespace"', "".join(selector))
                    for window in re.findall(r"\brate\(\w+\{.*?\}\[([^\]]+)\]", query):
                        self.assertEqual(window, "$__rate_interval")
            for variable in board["templating"]["list"]:
                self.assertEqual(undocumented(variable.get("definition", "")), set())

    def test_every_query_finds_something(self):
        asked = [(title, filled_in(query)) for board in BOARDS.values() for title, query in queries(board)]
        self.assertEqual([query for _, query in asked if "$" in query], [])
        case = {
            "interval": "30s",
            "input_series": [{"series": one, "values": "1+1x240"} for one in [*series(), *FOREIGN]],
            # Whether there is anything: the same answer for every query, and none where it is empty.
            "promql_expr_test": [
                {"expr": f"count({query}) > bool 0", "eval_time": "90m", "exp_samples": [{"labels": "{}", "value": 1}]} for _, query in asked
            ],
        }
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "queries.yaml").write_text(dump([{"evaluation_interval": "1m", "tests": [case]}]))
            code, said = run(tool("promtool"), "test", "rules", "queries.yaml", cwd=folder)
        self.assertEqual(code, 0, said)

    def test_the_chart_brings_them_as_they_are(self):
        maps = [document for document in of_kind(render(ci_values()["monitoring"]), "ConfigMap") if "grafana_dashboard" in document["metadata"]["labels"]]
        self.assertEqual(len(maps), len(BOARDS))
        for document in maps:
            ((name, text),) = document["data"].items()
            self.assertEqual(json.loads(text), BOARDS[name.removeprefix("tidewatch-").removesuffix(".json")])
            self.assertEqual(document["metadata"]["annotations"]["grafana_folder"], "Streams")


if __name__ == "__main__":
    unittest.main()
