"""What the rules look at: the workload of a rendering, its pod, containers, volumes and configuration."""

import re

import yaml

WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")
OURS = ("leasehold", "leasehold-init")
OUTPUT, HANDOVER, TOKEN, CONFIG = "leasehold-output", "leasehold-handover", "leasehold-token", "leasehold-config"
BINARY = "leasehold-binary"


class Pod:
    """A pod template with what belongs to it. Lenient: what is absent is empty, and the rules say so."""

    def __init__(self, rendering):
        self.rendering = rendering
        self.documents = rendering.documents
        workloads = self.all("Deployment", "StatefulSet", "Job", "CronJob")
        self.workload = workloads[0] if len(workloads) == 1 else {}
        spec = self.workload.get("spec", {})
        if self.workload.get("kind") == "CronJob":
            spec = spec.get("jobTemplate", {}).get("spec", {})
        self.template = spec.get("template", {})
        self.meta = self.template.get("metadata", {})
        self.annotations = self.meta.get("annotations", {})
        self.labels = self.meta.get("labels", {})
        self.spec = self.template.get("spec", {})
        self.mode = self.labels.get("leasehold.dev/mode")
        self.init = self.spec.get("initContainers", [])
        self.ordinary = self.spec.get("containers", [])
        self.containers = self.init + self.ordinary
        self.wrappers = [c for c in self.ordinary if self.mode == "exec" and (c.get("args") or [""])[0] == "exec"]
        self.ours = [c for c in self.containers if c.get("name") in OURS or c in self.wrappers]
        self.foreign = [c for c in self.containers if c not in self.ours]
        self.volumes = {v.get("name"): v for v in self.spec.get("volumes", [])}

    def all(self, *kinds):
        """The documents of these kinds."""
        return [d for d in self.documents if d.get("kind") in kinds]

    def runners(self):
        """Our containers that stay."""
        return [c for c in self.ours if (c.get("args") or [""])[0] == "run"]

    def natives(self):
        """Our containers that are native sidecars."""
        return [c for c in self.init if c.get("name") in OURS and c.get("restartPolicy") == "Always"]

    def memory(self):
        """The volumes that have to be in memory. Where the application is wrapped, there is no output."""
        return (HANDOVER,) if self.mode == "exec" else (OUTPUT, HANDOVER)

    def application(self):
        """The application's container."""
        return next((c for c in self.ordinary if c.get("name") == "application"), {})

    def config_map(self):
        """The ConfigMap that is mounted as our configuration."""
        name = self.volumes.get(CONFIG, {}).get("configMap", {}).get("name")
        return next((d for d in self.all("ConfigMap") if d["metadata"]["name"] == name), {})

    def config_keys(self, container):
        """The keys of the ConfigMap that a container of ours reads; None where they cannot be told."""
        args = container.get("args", [])
        paths = [b for a, b in zip(args, args[1:]) if a in ("-c", "--config")]
        paths = paths or [environment(container).get("LEASEHOLD_CONFIG", "")]
        where = mount(container, CONFIG).get("mountPath")
        if not where or not all(path.startswith(where + "/") for path in paths):
            return None
        return [path[len(where) + 1 :] for path in paths]

    def config(self, container):
        """The configuration of a container of ours as its own environment makes it."""
        data = self.config_map().get("data", {})
        merged = {}
        for key in self.config_keys(container) or []:
            merge(merged, expand(yaml.safe_load(data.get(key, "")) or {}, environment(container)))
        return merged

    def lifecycle(self, container):
        """Its section `lifecycle`."""
        return self.config(container).get("lifecycle", {})


def mounts(container, volume):
    """Where a container has a volume."""
    return [m for m in container.get("volumeMounts", []) if m.get("name") == volume]


def mount(container, volume):
    """The one place where it has it."""
    found = mounts(container, volume)
    return found[0] if len(found) == 1 else {}


def environment(container):
    """Its variables."""
    return {e["name"]: e.get("value", "") for e in container.get("env", [])}


def security(container):
    """Its security context."""
    return container.get("securityContext", {})


def merge(into, more):
    """Mappings merge, as several configuration files do."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def expand(node, variables):
    """`${NAME}` and `${NAME:-default}`."""
    if isinstance(node, dict):
        return {key: expand(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [expand(value, variables) for value in node]
    if not isinstance(node, str):
        return node
    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda m: variables.get(m[1]) or m[2] or "", node)


UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def seconds(text):
    """A duration of the configuration or of the command line."""
    parts = re.findall(r"(\d+)(ms|s|m|h)", str(text))
    if not parts or "".join(a + b for a, b in parts) != str(text).replace(" ", ""):
        raise ValueError(f"{text!r} is no duration")
    return sum(int(number) * UNITS[unit] for number, unit in parts)


SIZES = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 10**3, "M": 10**6, "G": 10**9}


def size(text):
    """A quantity of memory."""
    found = re.fullmatch(r"(\d+)(Ki|Mi|Gi|k|M|G|)", str(text))
    if not found:
        raise ValueError(f"{text!r} is no size")
    return int(found[1]) * SIZES[found[2]]
