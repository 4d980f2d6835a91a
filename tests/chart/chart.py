"""What the tests of the chart share: where things are, how the chart is rendered, and what it is held against.

Helm is the real one (v4, as a library). A cluster is asked nowhere, so everything here is about what would be sent to one.
"""

import copy
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import yaml
from helm_python.chart import Chart

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm"
HERE = ROOT / "tests" / "chart"
BINARY = os.environ.get("TIDEWATCH_BINARY", str(ROOT / "target/debug/tidewatch"))
UPDATE = bool(os.environ.get("UPDATE_EXPECT"))

# What a release is called here; neither name says what it is, so that no template can guess.
RELEASE, NAMESPACE = "alpha", "streams"

_chart = Chart.load(CHART)


def ci_values():
    """Name and values of each file in helm/ci."""
    files = sorted((CHART / "ci").glob("*-values.yaml"))
    return {file.name.removesuffix("-values.yaml"): yaml.safe_load(file.read_text()) for file in files}


def least(**more):
    """The least values that are accepted, and more."""
    return {**ci_values()["default"], **more}


def render(values, name=RELEASE):
    """Every manifest that the values give, in the order of their files; NOTES.txt left out."""
    files = _chart.render(values, name=name, namespace=NAMESPACE)
    texts = [text for path, text in sorted(files.items()) if not path.endswith("NOTES.txt")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def notes(values):
    """What is said after an installation."""
    return _chart.render(values, name=RELEASE, namespace=NAMESPACE)["tidewatch/templates/NOTES.txt"]


def of_kind(manifests, kind):
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def the(manifests, kind):
    """The only manifest of its kind, the test's pod aside."""
    (found,) = of_kind(manifests, kind)
    return found


def workload(manifests):
    (found,) = of_kind(manifests, "Deployment") + of_kind(manifests, "StatefulSet")
    return found


def container(manifests):
    return workload(manifests)["spec"]["template"]["spec"]["containers"][0]


def expect(path, text):
    """The file holds exactly this text; UPDATE_EXPECT=1 writes it."""
    if UPDATE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    held = path.read_text() if path.exists() else ""
    assert held == text, (
        f"{path.relative_to(ROOT)} is stale; `UPDATE_EXPECT=1 cargo test --test chart` writes it:\n"
        + first_difference(held, text)
    )


class _Readable(yaml.SafeDumper):
    """Texts of several lines as blocks."""


def _text(dumper, text):
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)


def dump(documents):
    """YAML that is pleasant to review, keys in the order given."""
    return yaml.dump_all(documents, Dumper=_Readable, sort_keys=False, width=1000, allow_unicode=True)


def snapshot(manifests):
    """Manifests to be reviewed; a dashboard, which is a file of its own, is only named."""
    shown = copy.deepcopy(manifests)
    for manifest in shown:
        for name, text in manifest.get("data", {}).items():
            if name.endswith(".json"):
                manifest["data"][name] = f"(dashboard {json.loads(text)['uid']})"
    return dump(shown)


def first_difference(held, wanted):
    for number, (left, right) in enumerate(zip(held.splitlines(), wanted.splitlines()), 1):
        if left != right:
            return f"line {number}\n  is     {left}\n  should {right}"
    return f"it has {len(held.splitlines())} lines and should have {len(wanted.splitlines())}"


def tool(name):
    """A program of the tools' environment, or of the system."""
    found = shutil.which(name)
    assert found, f"{name} is missing; `rm -r target/chart-venv && make chart-tools` installs it"
    return found


def run(*command, **more):
    """Exit code, and everything said."""
    done = subprocess.run(command, capture_output=True, text=True, **more)
    return done.returncode, done.stdout + done.stderr


METRIC = re.compile(r"\btidewatch_[a-z_]+\b")


def documented_metrics():
    """Names and types, from the table in docs/metrics.md (which a test of the crate holds to the code)."""
    rows = re.findall(r"^\| `(tidewatch_\w+)` \| (\w+) \|", (ROOT / "docs/metrics.md").read_text(), re.M)
    assert len(rows) > 20, "docs/metrics.md has another form"
    return dict(rows)


def undocumented(expression):
    """Names in a PromQL expression that docs/metrics.md does not know."""
    known = documented_metrics()
    histograms = {name + end for name, kind in known.items() if kind == "histogram" for end in ("_bucket", "_sum", "_count")}
    return set(METRIC.findall(expression)) - set(known) - histograms


def as_json(value):
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
