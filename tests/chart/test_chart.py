"""The chart, rendered by Helm for each file in helm/ci and held against Kubernetes, the operators' types and the built binary."""

import base64
import copy
import functools
import os
import re
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import manifests
import yaml
from chart import BINARY, CHART, HERE, NAMESPACE, ci_values, container, expect, least, notes, of_kind, render, run, snapshot, the, tool, workload
from helm_python.chart import lint
from helm_python.errors import HelmRenderError, HelmValuesError


def pod_of(documents):
    return workload(documents)["spec"]["template"]["spec"]


def settings_of(documents):
    """tidewatch.yaml as it is mounted."""
    texts = [document["data"]["tidewatch.yaml"] for document in of_kind(documents, "ConfigMap") if "tidewatch.yaml" in document["data"]]
    (text,) = texts
    return yaml.safe_load(text)


# What a cluster would have: job files that the release only refers to.
FOREIGN_JOBS = {"anomaly-jobs": {"web.yaml": (CHART.parent / "examples/web.yaml").read_text()}}


# A JSON web token as Kubernetes would give it, without the signature that only brokers look at.
TOKEN = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in [b'{"alg":"none"}', b'{"sub":"system:serviceaccount:streams:alpha","exp":4102444800}', b"-"])


def lay_out(documents, root):
    """The container's files below `root`; secrets hold their own names."""
    maps = {document["metadata"]["name"]: document["data"] for document in of_kind(documents, "ConfigMap")} | FOREIGN_JOBS
    volumes = {volume["name"]: volume for volume in pod_of(documents)["volumes"]}
    for mount in container(documents)["volumeMounts"]:
        volume, at = volumes[mount["name"]], root / mount["mountPath"].lstrip("/")
        if "configMap" in volume:
            files = maps[volume["configMap"]["name"]]
        elif "projected" in volume:
            files = {source["serviceAccountToken"]["path"]: TOKEN for source in volume["projected"]["sources"]}
        elif "secret" in volume:
            files = {item["path"]: f"the-{item['key']}-of-{volume['secret']['secretName']}\n" for item in volume["secret"]["items"]}
        else:
            continue
        if mount.get("subPath"):
            at, files = at.parent, {mount["subPath"]: files[mount["subPath"]]}
        at.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (at / name).write_text(text)


def lay_out_config(documents, root):
    """The same with a configuration that looks for its files below `root`; the container's environment."""
    lay_out(documents, root)
    config = root / "etc/tidewatch/tidewatch.yaml"
    config.write_text(config.read_text().replace("/etc/tidewatch", f"{root}/etc/tidewatch"))
    variables = {name: value for name, value in os.environ.items() if not name.startswith("TIDEWATCH_")}
    for variable in container(documents)["env"]:
        by_name = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath") == "metadata.name"
        variables[variable["name"]] = "pod-0" if by_name else variable["value"]
    return variables


def with_every_feature(check):
    """The check is made with the name and the values of each file in helm/ci."""

    @functools.wraps(check)
    def test(self):
        for name, values in ci_values().items():
            with self.subTest(name):
                check(self, name, values)

    return test


class EveryFeature(unittest.TestCase):
    """What holds for each file in helm/ci."""

    @with_every_feature
    def test_helm_has_nothing_to_remark(self, name, values):
        report = lint(CHART, values, strict=True, namespace=NAMESPACE)
        remarks = [message for message in report["messages"] if message["severity"] > 1]
        self.assertEqual((remarks, report["errors"]), ([], []))

    @with_every_feature
    def test_what_is_rendered_is_what_was_reviewed(self, name, values):
        expect(HERE / "snapshots" / f"{name}.yaml", snapshot(render(values)))

    def test_no_snapshot_is_left_of_a_feature_that_has_gone(self):
        held = {file.stem for file in (HERE / "snapshots").glob("*.yaml")}
        self.assertEqual(held, set(ci_values()))

    @with_every_feature
    def test_kubernetes_and_the_operators_take_every_manifest(self, name, values):
        for document in render(values):
            with self.subTest(f"{document['kind']} {document['metadata']['name']}"):
                manifests.check(document)

    def test_a_field_that_does_not_exist_is_noticed_in_every_kind(self):
        seen = {}
        for values in ci_values().values():
            seen |= {document["kind"]: document for document in render(values)}
        self.assertGreaterEqual(len(seen), 13)
        for kind, document in seen.items():
            typo = copy.deepcopy(document)
            inner = typo.get("spec", typo)
            inner["tpyo"] = next(iter(inner.values()))
            with self.subTest(kind), self.assertRaisesRegex(Exception, "tpyo"):
                manifests.check(typo)

    @with_every_feature
    def test_no_two_manifests_are_one(self, name, values):
        names = [(document["kind"], document["metadata"]["name"]) for document in render(values)]
        self.assertEqual(len(names), len(set(names)), names)

    @with_every_feature
    def test_pods_may_run_where_only_restricted_ones_may(self, name, values):
        if name == "extras":
            return  # its sidecar is its user's affair
        documents = render(values)
        for pod in [pod_of(documents), the(documents, "Pod")["spec"]]:
            self.assertEqual(list(manifests.restricted(pod)), [])
            self.assertIs(pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"], True)
            self.assertIs(pod["automountServiceAccountToken"], False)

    @with_every_feature
    def test_a_selector_finds_the_pods_and_not_the_test(self, name, values):
        documents = render(values)
        labels = workload(documents)["spec"]["template"]["metadata"]["labels"].items()
        stranger = the(documents, "Pod")["metadata"]["labels"].items()
        selectors = [workload(documents)["spec"]["selector"]["matchLabels"]]
        selectors += [service["spec"]["selector"] for service in of_kind(documents, "Service")]
        for kind in ["PodMonitor", "PodDisruptionBudget"]:
            selectors += [found["spec"]["selector"]["matchLabels"] for found in of_kind(documents, kind)]
        for selector in selectors:
            self.assertLessEqual(selector.items(), labels)
            self.assertFalse(selector.items() <= stranger)

    @with_every_feature
    def test_no_secret_is_written_down(self, name, values):
        documents = render(values)
        self.assertEqual(of_kind(documents, "Secret"), [])
        self.assertNotIn("sasl.password", settings_of(documents)["kafka"]["properties"])
        self.assertEqual(container(documents)["args"], ["run", "--config", "/etc/tidewatch/tidewatch.yaml"])

    @with_every_feature
    def test_the_notes_name_what_is_there(self, name, values):
        documents, text = render(values), notes(values)
        self.assertIn(f"{workload(documents)['kind'].lower()}/{workload(documents)['metadata']['name']}", text)
        prefix = settings_of(documents).get("topics", {}).get("prefix", "tidewatch")
        self.assertIn(f"{prefix}.results.record", text)


class TheBinary(unittest.TestCase):
    """Each ci file's pod laid out in a directory, and the real binary asked to load it as that pod would."""

    def validate(self, documents, root):
        variables = lay_out_config(documents, root)
        return run(BINARY, "validate", "--config", f"{root}/etc/tidewatch/tidewatch.yaml", env=variables)

    def test_the_service_starts_with_every_configuration(self):
        for name, values in ci_values().items():
            with self.subTest(name), tempfile.TemporaryDirectory() as root:
                code, said = self.validate(render(values), Path(root))
                self.assertEqual(code, 0, said)
                self.assertIn("instance pod-0", said)

    def test_a_job_with_a_mistake_is_told_before_anything_runs(self):
        with tempfile.TemporaryDirectory() as root:
            job = least()["jobs"]["requests"]
            job["analysis_config"]["detectors"][0]["function"] = "cuont"
            code, said = self.validate(render(least(jobs={"requests": job})), Path(root))
            self.assertEqual(code, 1)
            self.assertIn('did you mean "count"?', said)

    def test_every_file_that_the_configuration_names_is_mounted(self):
        for name in ["security", "tls", "keda"]:
            with self.subTest(name), tempfile.TemporaryDirectory() as root:
                documents = render(ci_values()[name])
                lay_out(documents, Path(root))
                kafka = settings_of(documents)["kafka"]
                files = [value for key, value in kafka["properties"].items() if key.endswith(".location")] + list(kafka["secret_files"].values())
                self.assertGreaterEqual(len(files), 2)
                for file in files:
                    self.assertTrue((Path(root) / file.lstrip("/")).is_file(), file)


class TheService(unittest.TestCase):
    """The binary with the chart's configuration, without a broker: what is asked of a pod from outside is answered."""

    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.TemporaryDirectory()
        cls.documents = render(least())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            cls.port = free.getsockname()[1]
        variables = lay_out_config(cls.documents, Path(cls.root.name)) | {
            "TIDEWATCH_HTTP_BIND": f"127.0.0.1:{cls.port}",
            "TIDEWATCH_KAFKA_PROPERTIES_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        }
        command = [BINARY, "run", "--config", f"{cls.root.name}/etc/tidewatch/tidewatch.yaml"]
        cls.process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @classmethod
    def tearDownClass(cls):
        cls.process.kill()
        cls.process.wait()
        cls.root.cleanup()

    def ask(self, path):
        """Status and body, as soon as it listens."""
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()
            except urllib.error.URLError:
                self.assertIsNone(self.process.poll(), "it has ended")
                time.sleep(0.1)
        self.fail("it does not listen")

    def test_the_probes_ask_for_what_there_is(self):
        probes = {name: container(self.documents)[f"{name}Probe"]["httpGet"] for name in ["liveness", "readiness", "startup"]}
        # Without brokers it lives, so that nobody restarts it, and is not ready.
        self.assertEqual(self.ask(probes["liveness"]["path"])[0], 200)
        self.assertEqual(self.ask(probes["startup"]["path"])[0], 200)
        self.assertEqual(self.ask(probes["readiness"]["path"])[0], 503)

    def test_prometheus_has_nothing_to_remark_on_its_metrics(self):
        _, metrics = self.ask("/metrics")
        self.assertIn('tidewatch_bucket_span_seconds{job_id="requests"} 300', metrics)
        done = subprocess.run([tool("promtool"), "check", "metrics"], input=metrics, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))


class Probes(unittest.TestCase):
    """The kubelet asks as the service answers: else the pods begin again for ever."""

    def test_they_speak_tls_where_the_service_does(self):
        tls = {"cert_file": "/etc/tidewatch/http/tls.crt", "key_file": "/etc/tidewatch/http/tls.key"}
        for values, scheme in [({}, None), ({"config": {"http": {"tls": tls}}}, "HTTPS")]:
            pod = container(render(least(**values)))
            for name in ["liveness", "readiness", "startup"]:
                self.assertEqual(pod[f"{name}Probe"]["httpGet"].get("scheme"), scheme)


class Scrapes(unittest.TestCase):
    """Prometheus asks as the service answers: else the alert that no instance can be scraped is all there is."""

    def test_they_speak_tls_where_the_service_does(self):
        tls = {"cert_file": "/etc/tidewatch/http/tls.crt", "key_file": "/etc/tidewatch/http/tls.key"}
        for monitor, endpoints in [("podMonitor", "podMetricsEndpoints"), ("serviceMonitor", "endpoints")]:
            for config, said, scheme in [({}, {}, None), ({"http": {"tls": tls}}, {}, "https"), ({}, {"scheme": "https"}, "https"), ({"http": {"tls": tls}}, {"scheme": "http"}, "http")]:
                documents = render(least(config=config, metrics={monitor: {"enabled": True} | said}))
                (endpoint,) = the(documents, monitor[0].upper() + monitor[1:])["spec"][endpoints]
                self.assertEqual(endpoint.get("scheme"), scheme)

    def test_they_bring_what_the_service_asks_for(self):
        (endpoint,) = the(render(ci_values()["oauthbearer"]), "PodMonitor")["spec"]["podMetricsEndpoints"]
        self.assertEqual(endpoint["authorization"], {"credentials": {"name": "tidewatch-http", "key": "token"}})
        self.assertEqual(endpoint["tlsConfig"]["serverName"], "tidewatch.streams.svc")


class Ingresses(unittest.TestCase):
    """The way in from outside leads to the pods, and only where somebody asked for it."""

    HOSTS = [{"host": "tidewatch.example.com"}]

    def test_there_is_none_unless_it_is_asked_for(self):
        self.assertEqual(of_kind(render(least()), "Ingress"), [])
        self.assertEqual(of_kind(render(least(ingress={"hosts": self.HOSTS})), "Ingress"), [])
        self.assertEqual(of_kind(render(least(ingress={"hosts": self.HOSTS})), "Service"), [])

    def test_every_path_leads_to_a_port_of_the_pods(self):
        for config, port in [({}, "http-ingress"), ({"http": {"tls": {"cert_file": "/c", "key_file": "/k"}}}, "https-ingress")]:
            documents = render(least(config=config, ingress={"enabled": True, "hosts": self.HOSTS}))
            (rule,) = the(documents, "Ingress")["spec"]["rules"]
            (path,) = rule["http"]["paths"]
            self.assertEqual((rule["host"], path["path"], path["pathType"]), ("tidewatch.example.com", "/", "Prefix"))
            service = the(documents, "Service")
            self.assertEqual(path["backend"]["service"], {"name": service["metadata"]["name"], "port": {"name": port}})
            (opened,) = service["spec"]["ports"]
            self.assertEqual((opened["name"], opened["targetPort"]), (port, container(documents)["ports"][0]["name"]))
            self.assertNotIn("publishNotReadyAddresses", service["spec"])
            self.assertNotIn("ingressClassName", the(documents, "Ingress")["spec"])

    def test_a_service_monitor_scrapes_each_pod_once(self):
        documents = render(ci_values()["ingress"])
        (endpoint,) = the(documents, "ServiceMonitor")["spec"]["endpoints"]
        self.assertEqual(len(of_kind(documents, "Service")), 2)
        ports = [port["name"] for service in of_kind(documents, "Service") for port in service["spec"]["ports"]]
        self.assertEqual(ports.count(endpoint["port"]), 1)

    def test_the_notes_say_where_it_is_and_who_may_read_it(self):
        said = notes(ci_values()["ingress"])
        self.assertIn("https://tidewatch.example.com/healthz", said)
        self.assertNotIn("WARNING: whoever", said)
        said = notes(least(ingress={"enabled": True, "hosts": self.HOSTS}))
        self.assertIn("http://tidewatch.example.com/healthz", said)
        self.assertIn("WARNING: whoever reaches the Ingress", said)


class Refusals(unittest.TestCase):
    """What an installation stops at, and what it says."""

    def refused(self, values, *says, error=HelmValuesError):
        with self.assertRaises(error) as caught:
            render(values)
        for words in says:
            self.assertIn(words, str(caught.exception))

    def test_nothing_said(self):
        self.refused({}, "/kafka/bootstrapServers", "/jobs")

    def test_probes_that_nobody_could_pass(self):
        self.refused(least(config={"http": {"auth": {"probes": "guarded"}}}), "config.http.auth.probes", error=HelmRenderError)

    def test_scrapes_that_nobody_would_answer(self):
        auth = {"http": {"auth": {"bearer_token_file": "/run/token"}}}
        for monitor in ["podMonitor", "serviceMonitor"]:
            self.refused(least(config=auth, metrics={monitor: {"enabled": True}}), f"metrics.{monitor}", "config.http.auth", error=HelmRenderError)
            both = {"enabled": True, "basicAuth": {"username": {}}, "authorization": {"credentials": {}}}
            self.refused(least(metrics={monitor: both}), f"/metrics/{monitor}")

    def test_scrapes_without_the_certificate_that_is_asked_for(self):
        mutual = {"http": {"tls": {"cert_file": "/c", "key_file": "/k", "client_ca_file": "/ca"}}}
        ours = {"cert": {"secret": {"name": "prometheus", "key": "tls.crt"}}, "keySecret": {"name": "prometheus", "key": "tls.key"}}
        for monitor in ["podMonitor", "serviceMonitor"]:
            says = (f"metrics.{monitor}", "config.http.tls.client_ca_file")
            self.refused(least(config=mutual, metrics={monitor: {"enabled": True}}), *says, error=HelmRenderError)
            render(least(config=mutual, metrics={monitor: {"enabled": True, "tlsConfig": ours}}))

    def test_a_typo_anywhere(self):
        self.refused(least(replicas=2), "additional properties 'replicas' not allowed")
        self.refused(least(config={"topics": {"prefx": "a"}}), "additional properties 'prefx' not allowed")
        self.refused(least(metrics={"prometheusRule": {"rules": {"TidewatchDwon": {}}}}), "TidewatchDwon")
        self.refused(least(keda={"lagThreshhold": 1}), "lagThreshhold")

    def test_wrong_shapes(self):
        self.refused(least(kafka={"bootstrapServers": ["kafka"]}), "/kafka/bootstrapServers/0")
        self.refused(least(kafka={"bootstrapServers": "kafka:9092"}), "want array")
        self.refused(least(image={"tag": "latest"}), "/image/tag")
        self.refused(least(jobs={"a": {"detectors": []}}), "analysis_config")

    def test_two_things_of_which_one_is_meant(self):
        self.refused(least(existingConfigMap="mine"), "/jobs")
        self.refused(least(keda={"enabled": True}, autoscaling={"enabled": True}), "/autoscaling/enabled")
        self.refused(least(metrics={"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}), "/metrics/serviceMonitor/enabled")

    def test_sasl_without_a_secret(self):
        kafka = least()["kafka"] | {"sasl": {"mechanism": "PLAIN"}}
        self.refused(least(kafka=kafka), "/kafka/sasl")
        kafka = least()["kafka"] | {"sasl": {"mechanism": "OAUTHBEARER"}}
        self.refused(least(kafka=kafka), "/kafka/sasl")
        kafka = least()["kafka"] | {"sasl": {"mechanism": "PLAIN", "tokenAudience": "kafka"}}
        self.refused(least(kafka=kafka), "/kafka/sasl")

    def test_what_the_chart_says_itself(self):
        self.refused(least(config={"kafka": {"group_id": "x"}}), "'kafka' not allowed")
        kafka = least()["kafka"] | {"properties": {"security.protocol": "ssl"}}
        self.refused(least(kafka=kafka), "say kafka.tls and kafka.sasl", error=HelmRenderError)

    def test_an_ingress_that_leads_nowhere(self):
        self.refused(least(ingress={"enabled": True}), "/ingress/hosts")
        self.refused(least(ingress={"enabled": True, "hosts": [{"paths": [{"path": "/"}]}]}), "/ingress/hosts/0")
        self.refused(least(ingress={"hosts": [{"host": "a.example", "paths": [{"path": "metrics"}]}]}), "/ingress/hosts/0/paths/0/path")

    def test_a_volume_that_pods_cannot_share(self):
        self.refused(least(persistence={"enabled": True}, replicaCount=2), "ReadWriteMany", error=HelmRenderError)
        self.refused(least(persistence={"enabled": True}, keda={"enabled": True}), "ReadWriteMany", error=HelmRenderError)
        self.refused(least(persistence={"enabled": True}, kind="Deployment"), "needs a StatefulSet", error=HelmRenderError)

    def test_scaling_by_a_lag_that_nobody_may_ask_for(self):
        values = ci_values()["oauthbearer"] | {"keda": {"enabled": True}}
        self.refused(values, "keda.triggers", "OAUTHBEARER", error=HelmRenderError)

    def test_scaling_by_the_lag_of_topics_that_nobody_knows(self):
        values = {"kafka": least()["kafka"], "existingConfigMap": "mine", "keda": {"enabled": True}}
        self.refused(values, "keda.triggers", error=HelmRenderError)

    def test_a_job_that_is_no_yaml(self):
        self.refused(least(jobs={"a": "b: [c"}, keda={"enabled": True}), "jobs.a: is not YAML", error=HelmRenderError)


class Meaning(unittest.TestCase):
    """What no schema can see."""

    def test_an_instance_is_called_as_its_pod(self):
        for name, static in [("default", False), ("statefulset", True), ("persistence", True)]:
            documents = render(ci_values()[name])
            variables = {variable["name"]: variable for variable in container(documents)["env"]}
            pod_name = {"fieldRef": {"fieldPath": "metadata.name"}}
            self.assertEqual(variables["TIDEWATCH_KAFKA_INSTANCE_ID"]["valueFrom"], pod_name)
            # A Deployment's names do not last: as static members they would be waited for in vain.
            self.assertEqual("TIDEWATCH_KAFKA_PROPERTIES_GROUP_INSTANCE_ID" in variables, static)
            self.assertEqual(settings_of(documents)["kafka"]["properties"].get("session.timeout.ms"), 45000 if static else None)

    def test_a_change_of_configuration_or_jobs_rolls_the_pods(self):
        def sums(**more):
            return workload(render(least(**more)))["spec"]["template"]["metadata"]["annotations"]

        jobs = least()["jobs"]
        jobs["requests"]["analysis_config"]["bucket_span"] = "10m"
        self.assertNotEqual(sums()["checksum/config"], sums(config={"topics": {"prefix": "x"}})["checksum/config"])
        self.assertNotEqual(sums()["checksum/jobs"], sums(jobs=jobs)["checksum/jobs"])
        self.assertEqual(sums(), sums(replicaCount=3))

    def test_whoever_scales_owns_the_number_of_pods(self):
        for name, owned in [("default", True), ("keda", False), ("hpa", False)]:
            self.assertEqual("replicas" in workload(render(ci_values()[name]))["spec"], owned, name)

    def test_keda_asks_for_the_lag_of_each_jobs_own_group(self):
        values = ci_values()["jobs"] | {"keda": {"enabled": True}}
        triggers = the(render(values), "ScaledObject")["spec"]["triggers"]
        asked = sorted((trigger["metadata"]["consumerGroup"], trigger["metadata"]["topic"]) for trigger in triggers)
        # The pattern ^edge-.* is no topic; the job that is text has its own id, not its file's name.
        self.assertEqual(asked, [("shop.host-latency", "web-logs"), ("shop.requests", "web-logs")])

    def test_keda_logs_in_as_the_service_does(self):
        """By Secrets, or by a variable of the container where the Secret holds no user name."""
        documents = render(ci_values()["keda"])
        login = the(documents, "TriggerAuthentication")["spec"]
        self.assertEqual(sorted(entry["parameter"] for entry in login["secretTargetRef"]), ["ca", "password"])
        (username,) = login["env"]
        variables = {variable["name"]: variable.get("value") for variable in container(documents)["env"]}
        self.assertEqual((username["parameter"], variables[username["name"]]), ("username", "tidewatch"))
        in_secret = ci_values()["tls"] | {"keda": {"enabled": True}}
        login = the(render(in_secret), "TriggerAuthentication")["spec"]
        self.assertEqual([(entry["parameter"], entry["key"]) for entry in login["secretTargetRef"]], [("username", "key"), ("password", "secret")])
        self.assertNotIn("env", login)

    def test_numbers_reach_librdkafka_as_numbers(self):
        self.assertEqual(settings_of(render(ci_values()["jobs"]))["kafka"]["properties"]["fetch.max.bytes"], 52428800)

    def test_a_digest_wins_over_a_tag(self):
        self.assertRegex(container(render(ci_values()["placement"]))["image"], r"^registry\.example\.com/streams/tidewatch@sha256:0123")
        self.assertEqual(container(render(least(image={"tag": "9.9"})))["image"], "tidewatch:9.9")

    def test_the_notes_warn_when_the_models_have_no_room(self):
        def warned(limit, *jobs):
            named = {f"job-{number}": least()["jobs"]["requests"] | {"analysis_limits": {"model_memory_limit": job}} for number, job in enumerate(jobs)}
            text = notes(least(jobs=named, resources={"limits": {"memory": limit}}))
            return re.search(r"may take (\d+) MiB.*may need (\d+):", text)

        self.assertNotIn("WARNING", notes(least()))  # a job that says nothing may take 1 GiB
        self.assertIsNone(warned("2Gi", "1gb", "512mb", "256mb"))
        self.assertEqual(warned("2Gi", "1gb", "768mb", "1mb").groups(), ("2048", "2049"))
        self.assertEqual(warned("512Mi", "200mb", 100, "1024kb").groups(), ("512", "557"))
        self.assertIsNone(warned("1Ti", "900gb"))

    def test_a_budget_for_disruptions_only_where_one_pod_may_go(self):
        self.assertEqual(of_kind(render(least()), "PodDisruptionBudget"), [])
        self.assertEqual(len(of_kind(render(least(replicaCount=2)), "PodDisruptionBudget")), 1)

    def test_brokers_are_let_through_on_the_ports_that_they_were_given_with(self):
        kafka = {"bootstrapServers": ["a:9092", "b:9094", "c:9092"]}
        policy = the(render(least(kafka=kafka, networkPolicy={"enabled": True})), "NetworkPolicy")
        self.assertEqual([port["port"] for port in policy["spec"]["egress"][1]["ports"]], [9092, 9094])

    def test_what_the_configuration_names_is_let_through_on_its_port(self):
        def ports(config, **egress):
            policy = the(render(least(config=config, networkPolicy={"enabled": True, "egress": egress})), "NetworkPolicy")
            return [port["port"] for rule in policy["spec"]["egress"][2:] for port in rule["ports"]]

        self.assertEqual(ports({}), [])
        self.assertEqual(ports({"snapshots": {"store": "s3", "s3_bucket": "b"}}), [443])
        self.assertEqual(ports({"snapshots": {"store": "s3", "s3_bucket": "b", "s3_endpoint": "https://minio:9000"}}), [9000])
        self.assertEqual(ports({"snapshots": {"store": "topic", "s3_endpoint": "https://minio:9000"}}), [])
        receivers = {"a": {"type": "alertmanager", "urls": ["http://am-0:9093/x", "http://am-1:9093"]}, "b": {"type": "webhook", "urls": ["http://chat/hook"]}}
        self.assertEqual(ports({"alerts": {"receivers": receivers}}), [9093, 80])
        self.assertEqual(ports({"telemetry": {"otlp": {"endpoint": "http://collector:4318"}}}, services={"ports": [3128]}), [3128, 4318])
        where = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
        values = least(config={"telemetry": {"otlp": {"endpoint": "http://collector:4318"}}}, networkPolicy={"enabled": True, "egress": {"services": {"to": where}}})
        self.assertEqual(the(render(values), "NetworkPolicy")["spec"]["egress"][2]["to"], where)

    def test_a_token_of_the_brokers_is_the_pods_own_or_a_secrets(self):
        own = ci_values()["oauthbearer"]
        kafka = own["kafka"] | {"sasl": {"mechanism": "OAUTHBEARER", "existingSecret": "broker", "tokenKey": "jwt"}}
        for values, file in [(own, "token"), (own | {"kafka": kafka}, "jwt")]:
            documents = render(values)
            settings = settings_of(documents)["kafka"]
            self.assertEqual(settings["secret_files"], {"sasl.oauthbearer.token": f"/etc/tidewatch/sasl/{file}"})
            self.assertEqual((settings["properties"]["sasl.mechanism"], settings["properties"]["security.protocol"]), ("OAUTHBEARER", "sasl_ssl"))
            (volume,) = [volume for volume in pod_of(documents)["volumes"] if volume["name"] == "sasl"]
            path = volume["projected"]["sources"][0]["serviceAccountToken"]["path"] if "projected" in volume else volume["secret"]["items"][0]["path"]
            self.assertEqual(path, file)

    def test_long_release_names_leave_room_for_what_is_added(self):
        for document in render(ci_values()["statefulset"], name="a" * 53):
            manifests.check(document)
            self.assertLessEqual(len(document["metadata"]["name"]), 63)


if __name__ == "__main__":
    unittest.main()
