"""Documents that are made from others, so that none can disagree:

  helm/README.md            its table of values, from values.yaml
  helm/values.schema.json   its descriptions, from values.yaml; its section `config`, from config/tidewatch.yaml
  config/prometheus/rules.yaml   the chart's alerts, for a Prometheus outside of Kubernetes

`UPDATE_EXPECT=1 cargo test --test chart` writes them, a test compares them.
"""

import json
import re

import yaml

from chart import CHART, ROOT, as_json, dump, least, render, the

BEGIN, END = "<!-- values: made from values.yaml -->\n", "<!-- end of values -->"

# What the chart itself says in the service's configuration.
OURS = {"kafka", "jobs", "http.bind"}


def described_values():
    """`a.b.c` → (default, description) of each value that has a `# --` line, in the order written."""
    values, found, path, text = yaml.safe_load((CHART / "values.yaml").read_text()), {}, [], None
    for line in (CHART / "values.yaml").read_text().splitlines():
        if comment := re.match(r"\s*# -- (.*)", line):
            text = comment[1]
        elif key := re.match(r"( *)([A-Za-z]\w*):", line):
            path = path[: len(key[1]) // 2] + [key[2]]
            if text:
                default = values
                for step in path:
                    default = default[step]
                found[".".join(path)] = (default, text)
            text = None
    return found


def undescribed_values():
    """Paths of values for which no `# --` line stands, neither above them nor above what holds them."""
    described = described_values()

    def leaves(value, path):
        if ".".join(path) in described:
            return
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from leaves(inner, [*path, key])
        else:
            yield ".".join(path)

    return list(leaves(yaml.safe_load((CHART / "values.yaml").read_text()), []))


def readme():
    rows = [
        f"| `{path}` | `{json.dumps(default, ensure_ascii=False)}` | {text} |".replace("`\"\"`", "")
        for path, (default, text) in described_values().items()
    ]
    table = "\n".join(["| value | default | meaning |", "|---|---|---|", *rows])
    text = (CHART / "README.md").read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table}\n\n{END}{after}"


def schema():
    schema = json.loads((CHART / "values.schema.json").read_text())
    schema["properties"]["config"] = service_schema()
    for path, (_, text) in described_values().items():
        node = schema
        for step in path.split("."):
            node = node["properties"][step]
        # Draft 7 looks at nothing beside a $ref.
        if "$ref" in node:
            reference = node.pop("$ref")
            node["allOf"] = [{"$ref": reference}]
        node["description"] = text
    return as_json(schema)


def service_schema():
    """The sections of config/tidewatch.yaml that the chart leaves to its user; every key of the service is in that file."""
    sections = {}
    for section, keys in yaml.safe_load((ROOT / "config/tidewatch.yaml").read_text()).items():
        if section in OURS:
            continue
        if not isinstance(keys, dict):
            sections[section] = shape(keys)
            continue
        properties = {key: shape(value) for key, value in keys.items() if f"{section}.{key}" not in OURS}
        if properties:
            sections[section] = {"type": "object", "additionalProperties": False, "properties": properties}
    return {"type": "object", "additionalProperties": False, "properties": sections}


def shape(value):
    if isinstance(value, list):
        return {"type": ["array", "string", "null"]}
    if isinstance(value, dict):
        return {"type": ["object", "null"]}
    return {"type": ["string", "number", "boolean", "null"]}


RULES_HEAD = """\
# Alerts for Prometheus: `rule_files: [rules.yaml]`, with a scrape job called tidewatch. Each has a heading in docs/runbook.md.
# Made from helm/files/alerts.yaml and the thresholds in helm/values.yaml by `UPDATE_EXPECT=1 cargo test --test chart`; on Kubernetes the
# Helm chart makes them (metrics.prometheusRule). TidewatchCriticalAnomaly tells of your systems, not of Tidewatch: leave it out if results
# reach you another way.
"""


def rules():
    """The groups of a PrometheusRule are what Prometheus reads from a file."""
    settings = {"enabled": True, "selector": 'job="tidewatch"', "disabled": []}
    rule = the(render(least(metrics={"prometheusRule": settings})), "PrometheusRule")
    return RULES_HEAD + dump([rule["spec"]])
