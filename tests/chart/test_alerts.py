"""The alert rules: what Prometheus thinks of them, when they fire, and that everything they speak of exists."""

import re
import tempfile
import unittest
from pathlib import Path

import yaml
from chart import CHART, HERE, ROOT, ci_values, dump, render, run, the, tool, undocumented

RULES = ROOT / "config/prometheus/rules.yaml"
CASES = HERE / "alerts_test.yaml"


def alerts(text):
    """The alerts of a rules file."""
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"] if "alert" in rule]


def of_the_chart(name="monitoring"):
    return dump([the(render(ci_values()[name]), "PrometheusRule")["spec"]])


def fired():
    """Alert → labels with which it fires somewhere in the cases; and the alerts that must be silent somewhere."""
    firing, silent = {}, set()
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        series = len(case["input_series"])
        for check in case["alert_rule_test"]:
            for alert in check["exp_alerts"]:
                firing.setdefault(check["alertname"], set()).update(alert["exp_labels"])
            # With several series and one that fires, the others are the counterexample.
            if len(check["exp_alerts"]) < series:
                silent.add(check["alertname"])
    return firing, silent


class Alerts(unittest.TestCase):
    def promtool(self, *arguments, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                (Path(folder) / name).write_text(text)
            return run(tool("promtool"), *arguments, cwd=folder)

    def test_prometheus_reads_the_rules(self):
        for text in [RULES.read_text(), of_the_chart()]:
            code, said = self.promtool("check", "rules", "--lint=all", "--lint-fatal", "rules.yaml", files={"rules.yaml": text})
            self.assertEqual(code, 0, said)

    def test_each_fires_when_it_should_and_not_otherwise(self):
        rules = yaml.safe_load(RULES.read_text())
        for group in rules["groups"]:
            for rule in group["rules"]:
                rule.pop("annotations")  # promtool compares them word by word
        code, said = self.promtool("test", "rules", "test.yaml", files={"rules.yaml": dump([rules]), "test.yaml": CASES.read_text()})
        self.assertEqual(code, 0, said)

    def test_each_has_a_case_for_both(self):
        names = {rule["alert"] for rule in alerts(RULES.read_text())}
        firing, silent = fired()
        self.assertEqual((set(firing), silent), (names, names))

    def test_annotations_speak_of_labels_that_the_alert_has(self):
        firing, _ = fired()
        for rule in alerts(RULES.read_text()):
            named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
            self.assertLessEqual(named, firing[rule["alert"]], rule["alert"])

    def test_every_metric_is_documented(self):
        for rule in alerts(RULES.read_text()):
            self.assertEqual(undocumented(rule["expr"]), set(), rule["alert"])

    def test_each_is_explained_in_the_runbook(self):
        headings = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.M)
        rules = alerts(RULES.read_text())
        self.assertEqual([rule["alert"] for rule in rules], headings)
        for rule in rules:
            self.assertEqual(rule["annotations"]["runbook_url"], f"docs/runbook.md#{rule['alert'].lower()}")

    def test_each_waits_and_says_how_grave_it_is(self):
        for rule in alerts(RULES.read_text()):
            self.assertIn("for", rule)
            self.assertIn(rule["labels"]["severity"], ["critical", "warning", "info"])
            self.assertIn("summary", rule["annotations"])

    def test_the_settings_of_each_alert_are_those_of_an_alert(self):
        settings = yaml.safe_load((CHART / "values.yaml").read_text())["metrics"]["prometheusRule"]["rules"]
        source = yaml.safe_load((CHART / "files/alerts.yaml").read_text())["alerts"]
        self.assertEqual(set(settings), {alert["alert"] for alert in source})
        for alert in source:
            asks = "%threshold%" in alert["expr"]
            self.assertEqual("threshold" in settings[alert["alert"]], asks, alert["alert"])

    def test_values_set_thresholds_labels_and_links(self):
        rules = {rule["alert"]: rule for rule in alerts(of_the_chart())}
        self.assertNotIn("TidewatchRebalanceStorm", rules)
        self.assertIn("> 50000", rules["TidewatchLagGrowing"]["expr"])
        self.assertEqual(rules["TidewatchDetectionSlow"]["labels"], {"severity": "critical", "team": "observability"})
        annotations = rules["TidewatchDown"]["annotations"]
        self.assertEqual(annotations["runbook_url"], "https://runbooks.example.com/tidewatch#tidewatchdown")
        self.assertEqual(annotations["dashboard_url"], "https://grafana.example.com/d/tidewatch-operations")
        self.assertNotIn("%", re.sub(r"\d %", "", "".join(rule["expr"] for rule in rules.values())))

    def test_a_release_looks_at_its_own_namespace_only(self):
        for rule in alerts(of_the_chart()):
            selectors = re.findall(r"\{(.*?)\}", rule["expr"])
            self.assertTrue(selectors, rule["alert"])
            for selector in selectors:
                self.assertIn('job="tidewatch", namespace="streams"', selector)


if __name__ == "__main__":
    unittest.main()
