"""deploy/ by the schemas of those who read it, and by what no schema knows: that its files fit each other and the manual.

The schemas come with two packages, so none is fetched: Compose's with check-jsonschema, Kubernetes' with
kubernetes-validate. Both are asked strictly: a misspelt member is a fault, not something to be ignored.
"""

import pathlib
import re
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
TOOLS = pathlib.Path(sys.executable).parent
# The oldest with a sleep before the stop, and the newest.
KUBERNETES = ["1.30", "1.37"]

faults: list[str] = []


def must(holds: bool, fault: str) -> None:
    if not holds:
        faults.append(fault)


def tool(name: str, *arguments: str) -> None:
    run = subprocess.run([TOOLS / name, *arguments], capture_output=True, text=True, cwd=ROOT)
    must(run.returncode == 0, f"{name} {' '.join(arguments)}\n{run.stdout}{run.stderr}")


def documents(file: pathlib.Path) -> list[dict]:
    return list(yaml.safe_load_all(file.read_text()))


def blocks(operations: str, heading: str) -> list[str]:
    chapter = operations.split(f"\n### {heading}\n")[1].split("\n### ")[0].split("\n## ")[0]
    return re.findall(r"^```\w*\n(.*?)^```$", chapter, re.DOTALL | re.MULTILINE)


def compose() -> None:
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml")
    (project,) = documents(DEPLOY / "compose.yaml")
    services = project["services"]
    replicas = sorted(name for name in services if name.startswith("connector"))
    nginx = (DEPLOY / "nginx/alc-connector.conf").read_text()
    must(re.findall(r"server (\S+):8080", nginx) == replicas, f"nginx does not stand before {replicas}")
    (prometheus,) = documents(DEPLOY / "prometheus/prometheus.yaml")
    (job,) = prometheus["scrape_configs"]
    targets = [target for group in job["static_configs"] for target in group["targets"]]
    must(targets == [f"{name}:9090" for name in replicas], f"Prometheus does not watch {replicas}")
    redis = " ".join(services["redis"]["command"])
    for setting in ["--appendonly yes", "--maxmemory-policy noeviction"]:
        must(setting in redis, f"Redis runs without {setting}")
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            # What only its operator has.
            if source.startswith("./") and not source.startswith("./tls/"):
                must((DEPLOY / source).exists(), f"{name} mounts {source}, which is not there")
        published = [str(port) for port in service.get("ports", [])]
        is_public = name == "nginx"
        must(is_public or all(port.startswith("127.0.0.1:") for port in published), f"{name} is open to everybody")
        must(not name.startswith("connector") or not published, f"{name} is reached past nginx")


def kubernetes() -> None:
    folder = DEPLOY / "kubernetes"
    (kustomization,) = documents(folder / "kustomization.yaml")
    files = sorted(file.name for file in folder.glob("*.yaml") if file.name != "kustomization.yaml")
    must(sorted(kustomization["resources"]) == files, f"kustomization.yaml does not name {files}")
    for version in KUBERNETES:
        tool("kubernetes-validate", "--strict", "--quiet", "-k", version, *(f"deploy/kubernetes/{file}" for file in files))
    kinds = {it["kind"]: it for file in files for it in documents(folder / file)}
    deployment = kinds["Deployment"]
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    for kind, selector in [
        ("Deployment", deployment["spec"]["selector"]["matchLabels"]),
        ("Service", kinds["Service"]["spec"]["selector"]),
        ("PodDisruptionBudget", kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]),
        ("NetworkPolicy", kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]),
    ]:
        must(selector == labels, f"the {kind} selects {selector}, the pods have {labels}")
    (container,) = pod["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    used = [port["targetPort"] for port in kinds["Service"]["spec"]["ports"]]
    used += [port["port"] for rule in kinds["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]]
    used += [container[probe]["httpGet"]["port"] for probe in ["livenessProbe", "readinessProbe"]]
    must(set(used) <= ports, f"the ports are {ports}, and {set(used) - ports} are used")
    target = kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    must(target["name"] == deployment["metadata"]["name"], f"the autoscaler scales {target['name']}")
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    must(grace >= sleep + 30 + 5, f"{grace} s are too few for {sleep} s and the 30 that a stop may take")


def manual() -> None:
    operations = (ROOT / "docs/operations.md").read_text()
    _, https, http = blocks(operations, "Behind nginx")
    same(f"{https}\n{http}", "nginx/alc-connector.conf", "Behind nginx")
    same(blocks(operations, "On Kubernetes")[0], "kubernetes/deployment.yaml", "On Kubernetes")


def same(text: str, file: str, chapter: str) -> None:
    must(text == (DEPLOY / file).read_text(), f"docs/operations.md ({chapter}) shows another deploy/{file}")


compose()
kubernetes()
manual()
if faults:
    sys.exit("\n".join(faults))
print("deploy/ is as Compose and Kubernetes want it, and as docs/operations.md shows it")
