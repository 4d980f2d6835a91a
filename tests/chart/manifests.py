"""Is a manifest what Kubernetes, the Prometheus operator and KEDA would take? Unknown fields are mistakes everywhere."""

import json

import kubernetes_validate
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as operator

# The oldest that Chart.yaml's kubeVersion allows, and the newest whose schemas are at hand.
KUBERNETES = ("1.25", "1.37")

CRDS = {
    ("monitoring.coreos.com/v1", "PodMonitor"): operator.PodMonitor,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): operator.ServiceMonitor,
    ("monitoring.coreos.com/v1", "PrometheusRule"): operator.PrometheusRule,
    ("keda.sh/v1alpha1", "ScaledObject"): keda.ScaledObject,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): keda.TriggerAuthentication,
}


# Most manifests are the same for many values.
_good = set()


def check(manifest):
    """Raises with the place and the reason."""
    text = json.dumps(manifest, sort_keys=True)
    if text not in _good:
        _check(manifest)
        _good.add(text)


def _check(manifest):
    model = CRDS.get((manifest["apiVersion"], manifest["kind"]))
    if model is None:
        for version in KUBERNETES:
            kubernetes_validate.validate(manifest, version, strict=True)
        return
    # The models drop what they do not know: what is missing afterwards was unknown.
    kept = model.model_validate(manifest).model_dump(by_alias=True, exclude_unset=True, mode="json")
    lost = list(_lost(manifest, kept, manifest["kind"]))
    assert not lost, f"unknown: {', '.join(lost)}"


def _lost(written, kept, path):
    if isinstance(written, dict):
        for key, value in written.items():
            if not isinstance(kept, dict) or key not in kept:
                yield f"{path}.{key}"
            else:
                yield from _lost(value, kept[key], f"{path}.{key}")
    elif isinstance(written, list):
        for at, value in enumerate(written):
            yield from _lost(value, kept[at], f"{path}[{at}]")


def restricted(pod):
    """What the `restricted` Pod Security Standard would refuse in a pod's spec."""
    outer = pod["securityContext"]
    if not outer.get("runAsNonRoot"):
        yield "runAsNonRoot"
    if outer.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "seccompProfile"
    for container in pod["containers"]:
        inner = container.get("securityContext", {})
        if inner.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation"
        if inner.get("capabilities", {}).get("drop") != ["ALL"]:
            yield "capabilities"
