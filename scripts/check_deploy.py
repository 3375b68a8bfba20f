#!/usr/bin/env python3
"""Renders every overlay, validates it against the Kubernetes schemas and against what the repository holds.

Beyond the schemas: every Secret and ConfigMap that is referred to is either rendered or documented, every variable is a field of
the configuration, every container runs without privileges, selectors meet pods, and what the Dockerfile copies is there.
"""

import pathlib
import re
import subprocess
import sys
import tomllib

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
OVERLAYS = sorted((ROOT / "deploy/kubernetes/overlays").iterdir())
# Kinds of the Prometheus operator, which Kubernetes' own schemas do not know.
FOREIGN = {"PodMonitor", "PrometheusRule"}
faults = []


def fault(where, what):
    faults.append(f"{where}: {what}")


def pod_specs(document):
    spec = document.get("spec", {})
    if document["kind"] in ("Deployment", "Job"):
        yield spec["template"]["spec"], spec["template"]["metadata"].get("labels", {})


def check_pod(where, spec, rendered):
    security = spec.get("securityContext", {})
    if not security.get("runAsNonRoot") or security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        fault(where, "the pod may run as root, or without a seccomp profile")
    if spec.get("automountServiceAccountToken") is not False:
        fault(where, "the pod gets a token of the cluster")
    for container in spec["containers"]:
        security = container.get("securityContext", {})
        if (
            not security.get("readOnlyRootFilesystem")
            or security.get("allowPrivilegeEscalation") is not False
            or security.get("capabilities", {}).get("drop") != ["ALL"]
        ):
            fault(where, f"the container {container['name']} has privileges")
        resources = container.get("resources", {})
        if "memory" not in resources.get("limits", {}) or "cpu" not in resources.get("requests", {}):
            fault(where, f"the container {container['name']} has no resources")
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        if mounted - {volume["name"] for volume in spec.get("volumes", [])}:
            fault(where, "a mounted volume is not there")
        for source in container.get("envFrom", []):
            name = source["configMapRef"]["name"]
            if ("ConfigMap", name) not in rendered:
                fault(where, f"there is no ConfigMap {name}")
    for volume in spec.get("volumes", []):
        if "secret" in volume and volume["secret"]["secretName"] not in documented:
            fault(where, f"the Secret {volume['secret']['secretName']} is not documented")
        if "persistentVolumeClaim" in volume:
            name = volume["persistentVolumeClaim"]["claimName"]
            if ("PersistentVolumeClaim", name) not in rendered:
                fault(where, f"there is no claim {name}")


def check_overlay(overlay):
    text = subprocess.run(["kubectl", "kustomize", str(overlay)], check=True, capture_output=True, text=True).stdout
    documents = [document for document in yaml.safe_load_all(text) if document]
    rendered = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    pods = [labels for document in documents for _, labels in pod_specs(document)]
    for document in documents:
        where = f"{overlay.name}: {document['kind']} {document['metadata']['name']}"
        if document["kind"] in FOREIGN:
            if document["kind"] == "PrometheusRule":
                for rule in document["spec"]["groups"][0]["rules"]:
                    if f"### {rule['alert']}" not in operations:
                        fault(where, f"docs/operations.md does not say what to do about {rule['alert']}")
            continue
        try:
            kubernetes_validate.validate(document, "1.32", strict=True)
        except kubernetes_validate.ValidationError as error:
            fault(where, f"{'.'.join(map(str, error.path))}: {error.message}")
        for spec, labels in pod_specs(document):
            check_pod(where, spec, rendered)
        selector = document.get("spec", {}).get("selector", {})
        if document["kind"] in ("Service", "Deployment", "PodDisruptionBudget"):
            selector = selector.get("matchLabels", selector)
            if not any(selector.items() <= labels.items() for labels in pods):
                fault(where, f"no pod has {selector}")
        if document["kind"] == "HorizontalPodAutoscaler":
            target = document["spec"]["scaleTargetRef"]
            if (target["kind"], target["name"]) not in rendered:
                fault(where, f"there is no {target['name']}")
        if document["kind"] == "ConfigMap":
            for name in document.get("data", {}):
                check_variable(where, name)
    if len(documents) < 5:
        fault(overlay.name, "hardly anything is rendered")


def check_variable(where, name):
    field = name.removeprefix("COURSEVAULT_").lower().split("__")[0]
    if f"| `{field}` |" not in configuration and f"## `[{field}" not in configuration and f"## `[[{field}" not in configuration:
        fault(where, f"{name} is no field of the configuration")


def check_dockerfile():
    stages = set()
    for line in (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", " ").splitlines():
        words = line.split()
        if words[:1] == ["FROM"] and "AS" in words:
            stages.add(words[-1])
        if words[:1] == ["ENV"]:
            for name in re.findall(r"(COURSEVAULT_\w+)=", line):
                check_variable("Dockerfile", name)
        if words[:1] != ["COPY"]:
            continue
        source = [word for word in words if word.startswith("--from=")]
        if source:
            if source[0].removeprefix("--from=") not in stages:
                fault("Dockerfile", f"there is no stage for {line}")
            continue
        allowed = (ROOT / ".dockerignore").read_text().split()
        for path in words[1:-1]:
            if not (ROOT / path).exists() or f"!{path}" not in allowed:
                fault("Dockerfile", f"{path} is not there, or not sent to the build")


def check_compose():
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    services = compose["services"]
    for name, service in services.items():
        for other in service.get("depends_on", []):
            if other not in services:
                fault("compose.yaml", f"{name} waits for {other}, which is not there")
        for volume in service.get("volumes", []):
            if volume.split(":")[0] not in compose["volumes"]:
                fault("compose.yaml", f"{volume} is no volume")
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                fault("compose.yaml", f"{name} is reachable from other machines")
    build = services["coursevault"]["build"]
    if not (ROOT / "deploy" / build["context"] / build["dockerfile"]).exists():
        fault("compose.yaml", "there is no Dockerfile")
    for field in tomllib.loads(compose["configs"]["coursevault"]["content"]):
        check_variable("compose.yaml", field)


operations = (ROOT / "docs/operations.md").read_text()
configuration = (ROOT / "docs/configuration.md").read_text()
documented = set(re.findall(r"create secret generic (\S+)", operations))
for each in OVERLAYS:
    check_overlay(each)
check_dockerfile()
check_compose()
print("\n".join(faults) or f"deploy: {len(OVERLAYS)} overlays, Dockerfile and compose file are in order")
sys.exit(bool(faults))
