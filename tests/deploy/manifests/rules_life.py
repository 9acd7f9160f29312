"""Rules on how a pod lives: how it starts, is watched, ends, is moved, copied and scraped."""

from pod import BINARY, environment, seconds
from rules import rule

READY = ["/leasehold", "probe", "ready"]
MESH = ("istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane", "envoy")
# The drain time of the example application; an ordinary leasehold waits for as long (revoke_delay).
DRAIN = 20
SPARE = 2


def is_ready_probe(probe):
    """Whether it asks our own binary: the image has no shell."""
    return probe.get("exec", {}).get("command") == READY


@rule
def no_liveness_probe(pod):
    """A restart heals no store: there is no liveness probe."""
    yield from (f"{c['name']} has a liveness probe" for c in pod.containers if "livenessProbe" in c)


@rule
def a_start_that_outlasts_the_deadline(pod):
    """`probe ready` holds the start back for longer than startup_deadline, so that leasehold itself says why."""
    for container in pod.runners():
        deadline = seconds(pod.lifecycle(container).get("startup_deadline", "5m"))
        probe = container.get("startupProbe")
        hook = container.get("lifecycle", {}).get("postStart", {}).get("exec", {}).get("command")
        hooked = "fast-start" in pod.rendering.components
        if hooked:
            if probe is not None or not hook or hook[:-1] != [*READY, "--wait"]:
                yield f"{container['name']}: no hook `probe ready --wait` in place of the startup probe"
            elif not deadline < seconds(hook[-1]) <= 60:
                yield f"{container['name']}: the hook waits for {hook[-1]}, startup_deadline is {deadline} s"
        elif probe is None or not is_ready_probe(probe) or hook:
            yield f"{container['name']}: no startup probe `probe ready`"
        elif probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3) <= deadline:
            yield f"{container['name']}: the startup probe gives up within startup_deadline, {deadline} s"


@rule
def readiness_only_on_request(pod):
    """A readiness probe of ours only by the component, and then it is `probe ready`."""
    wanted = "readiness" in pod.rendering.components
    for container in (c for c in pod.ours if c not in pod.wrappers):
        probe = container.get("readinessProbe")
        if (probe is not None) is not (wanted and container in pod.runners()):
            yield f"{container['name']}: readiness probe {'absent' if wanted else 'uninvited'}"
        elif probe is not None and not is_ready_probe(probe):
            yield f"{container['name']}: the readiness probe is not `probe ready`"


@rule
def a_mesh_proxy_outlives_us(pod):
    """A native leasehold stands after a mesh proxy, so that it stops before it."""
    names = [c["name"] for c in pod.init]
    for container in pod.natives():
        later = set(names[names.index(container["name"]) :]) & set(MESH)
        yield from (f"{name} stands after {container['name']}" for name in later)


@rule
def revocation_waits_for_the_application(pod):
    """A native leasehold revokes at once, since it is told last; an ordinary one after the drain time."""
    for container in pod.runners():
        lifecycle = pod.lifecycle(container)
        delay = seconds(lifecycle.get("revoke_delay", "20s"))
        if container in pod.natives():
            if delay != 0:
                yield f"{container['name']}: a native one with revoke_delay {delay} s"
        elif not lifecycle.get("application") and ("revoke_delay" not in lifecycle or delay < DRAIN):
            yield f"{container['name']}: an ordinary one with revoke_delay below the drain time, {DRAIN} s"


@rule
def enough_time_to_end(pod):
    """terminationGracePeriodSeconds covers preStop, drain and revoke_timeout, with 2 s to spare."""
    hooks = [c.get("lifecycle", {}).get("preStop") for c in pod.containers]
    hooks = [hook for hook in hooks if hook is not None]
    if any(set(hook) != {"sleep"} for hook in hooks):
        yield "a preStop hook of unknown length"
        return
    before = max((hook["sleep"]["seconds"] for hook in hooks), default=0)
    for container in pod.ours:
        lifecycle = pod.lifecycle(container)
        grace = seconds(pod.config(container).get("exec", {}).get("grace", "0s"))
        drain = max(DRAIN, grace, seconds(lifecycle.get("revoke_delay", "0s")))
        needed = before + drain + seconds(lifecycle.get("revoke_timeout", "5s")) + SPARE
        given = pod.spec.get("terminationGracePeriodSeconds", 30)
        if given < needed:
            yield f"terminationGracePeriodSeconds is {given}, {container['name']} needs {needed:g}"


@rule
def telemetry_from_outside(pod):
    """Those of ours that stay listen on [::]:9441, and name the port."""
    for container in pod.ours:
        ports = [(p.get("name"), p.get("containerPort")) for p in container.get("ports", [])]
        expected = [("leasehold", 9441)] if container in pod.runners() else []
        if container in pod.wrappers:
            # Beside the application's own.
            ports, expected = [port for port in ports if port[0] == "leasehold"], [("leasehold", 9441)]
        if ports != expected:
            yield f"{container['name']}: ports {ports}, expected {expected}"
        if pod.config(container).get("telemetry", {}).get("listen") != "[::]:9441":
            yield f"{container['name']}: telemetry.listen is not [::]:9441"


@rule
def scraped_only_on_request(pod):
    """The annotations for Prometheus by the component alone, and then they name our port."""
    found = {key: value for key, value in pod.annotations.items() if key.startswith("prometheus.io/")}
    wanted = {"prometheus.io/scrape": "true", "prometheus.io/port": "9441", "prometheus.io/path": "/metrics"}
    if found != (wanted if "scrape" in pod.rendering.components else {}):
        yield f"annotations {found}"


@rule
def left_out_of_backups(pod):
    """Velero is told to leave out every memory volume."""
    listed = pod.annotations.get("backup.velero.io/backup-volumes-excludes", "").split(",")
    yield from (f"{v} is not excluded from backups" for v in pod.memory() if v not in listed)
    if "backup.velero.io/backup-volumes" in pod.annotations:
        yield "volumes are chosen for backups"


@rule
def neutral_to_disruption(pod):
    """Nothing keeps a node from being drained, or lets it be drained sooner than without leasehold."""
    yield from (f"{d['metadata']['name']}: a PodDisruptionBudget" for d in pod.all("PodDisruptionBudget"))
    volumes = (*pod.memory(), *(v for v in (BINARY,) if v in pod.volumes))
    listed = pod.annotations.get("cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes", "").split(",")
    yield from (f"{v} keeps a node from being drained" for v in volumes if v not in listed)
    for key in ("cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt"):
        if key in pod.annotations:
            yield f"annotation {key}"
    if "priorityClassName" in pod.spec:
        yield "a priority class"


@rule
def a_job_that_ends(pod):
    """In a Job, ours ends with the application: a native one, or one that watches it and is not restarted."""
    if pod.workload.get("kind") not in ("Job", "CronJob"):
        return
    if pod.spec.get("restartPolicy") not in ("Never", "OnFailure"):
        yield "a Job with another restartPolicy"
    for container in pod.runners():
        if container in pod.natives():
            continue
        if not pod.lifecycle(container).get("application"):
            yield f"{container['name']} does not see the application end"
        if pod.spec.get("restartPolicy") != "Never":
            yield f"{container['name']} would be restarted, or would revoke before a next attempt"


@rule
def a_private_authority_only_on_request(pod):
    """VAULT_CACERT by the component alone, and then in every container of ours, out of its ConfigMap."""
    wanted = "private-ca" in pod.rendering.components
    volume = pod.volumes.get("leasehold-ca", {}).get("configMap", {}).get("name")
    for container in pod.ours:
        places = [m["mountPath"] for m in container["volumeMounts"] if m["name"] == "leasehold-ca" and m.get("readOnly")]
        file = environment(container).get("VAULT_CACERT")
        good = places and volume == "vault-ca" and file == f"{places[0]}/ca.crt"
        if not (good if wanted else file is None and not places):
            yield f"{container['name']}: VAULT_CACERT is {file}, the volume is at {places}"


@rule
def a_network_policy_that_lists_both_sides(pod):
    """Only by the component; it isolates the pod both ways, and lists what leasehold and the application need."""
    policies = pod.all("NetworkPolicy")
    if len(policies) != ("network-policy" in pod.rendering.components):
        yield f"{len(policies)} network policies"
    for policy in policies:
        spec = policy["spec"]
        if sorted(spec.get("policyTypes", [])) != ["Egress", "Ingress"]:
            yield "it does not isolate both ways"
        if not spec["podSelector"].get("matchLabels", {}).items() <= pod.labels.items():
            yield "it does not select the pod"
        ways = {way: [{p["port"] for p in r.get("ports", [])} for r in spec.get(way, [])] for way in ("ingress", "egress")}
        for way, port in (("ingress", 9441), ("egress", 53), ("egress", 8200)):
            if not any(port in ports for ports in ways[way]):
                yield f"{way}: not port {port}, which leasehold needs"
        for way in ways:
            if not any(ports - {9441, 53, 8200} for ports in ways[way]):
                yield f"{way}: nothing of the application's own"
        if any(not r.get("ports") or not (r.get("to") or r.get("from")) for way in ways for r in spec.get(way, [])):
            yield "a rule that lets everything through"
