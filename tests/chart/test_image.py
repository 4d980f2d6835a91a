"""The image and the compose file, without an engine to run them: what linters and the compose specification say, and that whatever they
refer to is there and loads."""

import os
import re
import shutil
import tempfile
import unittest
from pathlib import Path

import yaml
from chart import BINARY, CHART, ROOT, run, tool

COMPOSE = ROOT / "compose.yaml"


def services():
    return yaml.safe_load(COMPOSE.read_text())["services"]


def mounts(service):
    """(file or folder here, path in the container) of a service's bind mounts."""
    for volume in services()[service].get("volumes", []):
        source, target = volume.split(":")[:2]
        if source.startswith("."):
            yield ROOT / source, target


class Image(unittest.TestCase):
    def instructions(self):
        text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
        return [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]

    def test_hadolint_has_nothing_to_remark(self):
        code, said = run(tool("hadolint"), "--failure-threshold", "style", str(ROOT / "Dockerfile"))
        self.assertEqual(code, 0, said)

    def test_it_runs_as_the_user_of_the_chart_and_not_as_root(self):
        security = yaml.safe_load((CHART / "values.yaml").read_text())["podSecurityContext"]
        users = [rest for word, rest in self.instructions() if word == "USER"]
        self.assertEqual(users, [f"{security['runAsUser']}:{security['runAsGroup']}"])

    def test_it_is_built_by_the_compiler_that_the_crate_asks_for(self):
        wanted = re.search(r'^rust-version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        self.assertIn(["FROM", f"rust:{wanted}-bookworm AS build"], self.instructions())

    def test_its_build_names_features_of_the_crate(self):
        (features,) = re.findall(r"--features (\S+)", (ROOT / "Dockerfile").read_text())
        self.assertRegex((ROOT / "Cargo.toml").read_text(), rf"(?m)^{features} = ")

    def test_what_the_build_reads_is_not_left_out_of_its_context(self):
        """Every file that the sources include, and every target that Cargo.toml names, is in a folder that .dockerignore lets in."""
        allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        needed = {"Cargo.toml", "Cargo.lock", "src"}
        for file in (ROOT / "src").rglob("*.rs"):
            for path in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', file.read_text().split("#[cfg(test)]")[0]):
                needed.add((file.parent / path).resolve().relative_to(ROOT).parts[0])
        if "[[bench]]" in (ROOT / "Cargo.toml").read_text():
            needed.add("benches")
        self.assertLessEqual(needed, allowed)


class Compose(unittest.TestCase):
    def test_it_is_as_the_compose_specification_says(self):
        code, said = run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE))
        self.assertEqual(code, 0, said)

    def test_everything_it_refers_to_is_there(self):
        named = yaml.safe_load(COMPOSE.read_text()).get("volumes", {})
        for name, service in services().items():
            for waits_for in service.get("depends_on", []):
                self.assertIn(waits_for, services())
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                self.assertTrue((ROOT / source).exists() if source.startswith(".") else source in named, f"{name}: {source}")

    def test_images_have_versions(self):
        ours = {service["image"] for service in services().values() if "build" in service}
        for name, service in services().items():
            if service["image"] not in ours:
                self.assertRegex(service["image"], r":v?\d+\.\d+\.\d+$", name)

    def test_the_service_starts_with_its_configuration(self):
        with tempfile.TemporaryDirectory() as folder:
            for source, target in mounts("tidewatch"):
                at = Path(folder) / target.lstrip("/")
                at.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, at)
            clean = {name: value for name, value in os.environ.items() if not name.startswith("TIDEWATCH_")}
            code, said = run(BINARY, "validate", "--config", f"{folder}/etc/tidewatch/tidewatch.yaml", env=clean)
        self.assertEqual(code, 0, said)
        # The topic that is made is the one that the job reads.
        self.assertIn("topics web-logs", said)
        self.assertIn("web-logs", services()["topic"]["command"])

    def test_the_events_are_those_that_the_job_reads(self):
        command = services()["events"]["command"]
        with tempfile.TemporaryDirectory() as folder:
            scenario = command[: command.index("--days")]
            code, said = run(BINARY, *scenario, "--events", "200", "--out", f"{folder}/e.ndjson")
            self.assertEqual(code, 0, said)
            code, said = run(BINARY, "detect", str(ROOT / "examples/web.yaml"), f"{folder}/e.ndjson", "--out", f"{folder}/r.ndjson")
        self.assertEqual(code, 0, said)

    def test_prometheus_takes_its_configuration_and_the_rules(self):
        with tempfile.TemporaryDirectory() as folder:
            for source, target in mounts("prometheus"):
                shutil.copy(source, Path(folder) / Path(target).name)
            code, said = run(tool("promtool"), "check", "config", f"{folder}/prometheus.yml")
        self.assertEqual(code, 0, said)
        self.assertIn("rules found", said)

    def test_prometheus_scrapes_where_the_service_listens(self):
        prometheus = yaml.safe_load((ROOT / "examples/compose/prometheus.yaml").read_text())
        settings = yaml.safe_load((ROOT / "examples/compose/tidewatch.yaml").read_text())
        (target,) = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
        host, port = target.split(":")
        self.assertIn(host, services())
        self.assertEqual(settings["http"]["bind"], f"0.0.0.0:{port}")
        self.assertEqual(prometheus["scrape_configs"][0]["job_name"], "tidewatch")

    def test_grafana_finds_the_dashboards_and_prometheus(self):
        targets = {target: source for source, target in mounts("grafana")}
        provider = yaml.safe_load((ROOT / "examples/compose/grafana/dashboards.yaml").read_text())["providers"][0]
        self.assertEqual(targets[provider["options"]["path"]].resolve(), CHART / "files/dashboards")
        home = Path(services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
        self.assertTrue((targets[str(home.parent)] / home.name).is_file())
        source = yaml.safe_load((ROOT / "examples/compose/grafana/datasources.yaml").read_text())["datasources"][0]
        self.assertIn(source["url"].split("/")[2].split(":")[0], services())


if __name__ == "__main__":
    unittest.main()
