"""Rules on what a pod is made of: its parts, who they run as, what they may do, what they see."""

import re

from pod import BINARY, CONFIG, HANDOVER, OUTPUT, OURS, TOKEN, WORKLOADS, environment, mount, mounts, seconds, security, size
from rules import rule

MiB = 1 << 20
OUR_UID, APPLICATION_UID = 65532, 10001


def opened(pod):
    """Whether the platform chooses uids."""
    return "openshift" in pod.rendering.components


@rule
def one_workload_with_its_labels(pod):
    """One workload; the pod and the workload say the mode; the selector finds the pod."""
    if len(pod.all(*WORKLOADS)) != 1:
        yield "there is not exactly one workload"
        return
    if pod.mode not in ("native", "classic", "init", "exec"):
        yield f"the pod's label leasehold.dev/mode is {pod.mode!r}"
    if pod.workload["metadata"].get("labels", {}).get("leasehold.dev/mode") != pod.mode:
        yield "the workload's label leasehold.dev/mode, by which components find it, is another than the pod's"
    selector = pod.workload["spec"].get("selector", {}).get("matchLabels", {})
    if not selector.items() <= pod.labels.items():
        yield "the selector does not find the pod"
    if pod.workload["kind"] in ("Deployment", "StatefulSet") and not selector:
        yield "no selector"
    if pod.annotations.get("kubectl.kubernetes.io/default-container") != "application":
        yield "`kubectl logs` and `exec` do not mean the application by default"


@rule
def the_parts_of_the_mode(pod):
    """native: an init container that stays; classic: an init container and an ordinary one; init: the first; exec: none."""
    expected = {
        "native": [("init", "leasehold", "Always", "run")],
        "classic": [("init", "leasehold-init", None, "init"), ("ordinary", "leasehold", None, "run")],
        "init": [("init", "leasehold-init", None, "init")],
        # The wrapper is in the application's container: the rule below.
        "exec": [],
    }
    seen = [
        (where, c["name"], c.get("restartPolicy"), (c.get("args") or [None])[0])
        for where, containers in (("init", pod.init), ("ordinary", pod.ordinary))
        for c in containers
        if c["name"] in OURS
    ]
    if seen != expected.get(pod.mode):
        yield f"containers of ours: {seen}, expected {expected.get(pod.mode)}"
    if not pod.application():
        yield "there is no container `application`"


@rule
def a_wrapper_that_an_init_container_installs(pod):
    """exec: an init container installs the binary into a volume, or it comes in an image volume; the application
    runs it from there and cannot write there; no files; the application's own uid; and readiness, since a restart takes it away."""
    if pod.mode != "exec":
        return
    installers = [c for c in pod.init if (c.get("args") or [""])[0] == "install"]
    if len(pod.wrappers) != 1 or pod.wrappers[0].get("name") != "application":
        yield "the application is not wrapped"
        return
    wrapper, volume = pod.wrappers[0], pod.volumes.get(BINARY, {})
    where = mount(wrapper, BINARY)
    if "image-volume" in pod.rendering.components:
        if installers:
            yield "an init container installs what comes in a volume"
        if not re.fullmatch(r"(.+/)?leasehold[:@].+", volume.get("image", {}).get("reference", "")):
            yield f"{BINARY} is not leasehold's image"
    elif len(installers) != 1 or installers[0]["name"] != "leasehold-install" or "command" in installers[0]:
        yield "there is not one init container `leasehold-install`"
    else:
        to = mount(installers[0], BINARY)
        if installers[0]["args"][1:] != [to.get("mountPath")] or to.get("readOnly"):
            yield f"it does not install into {BINARY}"
        if "emptyDir" not in volume or "sizeLimit" not in volume["emptyDir"]:
            yield f"{BINARY} is not an emptyDir with a sizeLimit"
    if wrapper.get("command") != [f"{where.get('mountPath')}/leasehold"] or not where.get("readOnly"):
        yield f"the application does not run what is in {BINARY}, read-only"
    if wrapper["args"][1:2] != ["--"] or len(wrapper["args"]) < 3:
        yield "no command of the application after `--`"
    config = pod.config(wrapper)
    if config.get("files") != {} or OUTPUT in pod.volumes or not config.get("env"):
        yield "it is to have an environment and no files"
    probe = wrapper.get("readinessProbe", {})
    if probe.get("exec", {}).get("command") != [*wrapper["command"], "probe", "ready"]:
        yield "the readiness probe is not `probe ready`"
    elif probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3) >= seconds(config["exec"]["drain"]):
        yield "exec.drain is over before the readiness probe has noticed"


@rule
def one_image_and_its_entrypoint(pod):
    """All containers of ours run one image, with its own entrypoint: it has no shell."""
    if pod.mode == "exec":
        return
    if len({c["image"] for c in pod.ours}) != 1:
        yield "containers of ours run different images"
    yield from (f"{c['name']}: a command instead of the entrypoint" for c in pod.ours if "command" in c)


@rule
def volumes_in_memory_with_a_limit(pod):
    """Output and hand-over are in memory, and no larger than they say."""
    for name in pod.memory():
        volume = pod.volumes.get(name, {}).get("emptyDir", {})
        if volume.get("medium") != "Memory":
            yield f"{name} is not an emptyDir with medium Memory"
        if "sizeLimit" not in volume:
            yield f"{name} has no sizeLimit"


@rule
def output_in_a_directory_of_ours(pod):
    """The output directory is inside the volume, not the volume itself; ours may write there."""
    if pod.mode == "exec":
        return
    for container in pod.ours:
        directory = pod.config(container).get("output", {}).get("directory", "")
        where = mount(container, OUTPUT)
        if not directory.startswith(where.get("mountPath", "nowhere") + "/"):
            yield f"{container['name']}: output.directory {directory!r} is not inside {OUTPUT}"
        if where.get("readOnly"):
            yield f"{container['name']}: {OUTPUT} is read-only"


@rule
def output_read_only_for_the_application(pod):
    """The application has the output where ours wrote it, and nobody else may write there."""
    if pod.mode == "exec":
        return
    places = {mount(c, OUTPUT).get("mountPath") for c in pod.ours}
    if mount(pod.application(), OUTPUT).get("mountPath") not in places:
        yield "the application does not have the output in the same place"
    for container in pod.foreign:
        yield from (f"{container['name']} may write to {OUTPUT}" for m in mounts(container, OUTPUT) if not m.get("readOnly"))


@rule
def handover_for_ours_alone(pod):
    """The hand-over, the token and the configuration are mounted into ours and into nobody else."""
    for container in pod.foreign:
        yield from (f"{container['name']} has {v}" for v in (HANDOVER, TOKEN, CONFIG) if mounts(container, v))
    for container in pod.ours:
        where = mount(container, HANDOVER)
        if not where or where.get("readOnly"):
            yield f"{container['name']} cannot write to {HANDOVER}"
        if pod.lifecycle(container).get("state_directory", "/run/leasehold") != where.get("mountPath"):
            yield f"{container['name']}: state_directory is not {HANDOVER}"


@rule
def no_part_of_a_volume(pod):
    """No subPath on a volume of ours: a file mounted so never changes, and its directory's rename is not seen."""
    for container in pod.containers:
        for name in (OUTPUT, HANDOVER, TOKEN, CONFIG):
            if any("subPath" in m or "subPathExpr" in m for m in mounts(container, name)):
                yield f"{container['name']} mounts a part of {name}"


@rule
def a_token_for_vault_alone(pod):
    """One projected token: its audience is Vault, it is short-lived, and the log-in reads it."""
    sources = pod.volumes.get(TOKEN, {}).get("projected", {}).get("sources", [])
    token = sources[0].get("serviceAccountToken", {}) if len(sources) == 1 else {}
    if token.get("audience") != "vault":
        yield f"{TOKEN} is not one token with the audience vault"
    if not 0 < token.get("expirationSeconds", 3600) <= 600:
        yield "the token lives for more than 10 minutes"
    for container in pod.ours:
        where = mount(container, TOKEN)
        path = f"{where.get('mountPath')}/{token.get('path')}"
        files = {p["auth"].get("token_file") for p in pod.config(container)["providers"].values()}
        if files != {path} or not where.get("readOnly"):
            yield f"{container['name']}: auth.token_file is {files}, the token is at {path}"


@rule
def an_account_of_its_own_without_a_standing_token(pod):
    """The pod's own service account; its standing token is mounted nowhere, by account and by pod."""
    name = pod.spec.get("serviceAccountName", "default")
    accounts = {d["metadata"]["name"]: d for d in pod.all("ServiceAccount")}
    if name == "default" or name not in accounts:
        yield f"the service account {name!r} is not one that comes with the workload"
    elif accounts[name].get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken is not false at the service account"
    if pod.spec.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken is not false at the pod"


@rule
def a_configuration_that_cannot_change_under_us(pod):
    """LEASEHOLD_CONFIG names a file of an immutable ConfigMap whose name has the hash of what it holds."""
    config_map = pod.config_map()
    if config_map.get("immutable") is not True:
        yield "the ConfigMap is not immutable"
    if not re.search(r"-[a-z0-9]{10}$", config_map.get("metadata", {}).get("name", "")):
        yield "the ConfigMap's name has no hash"
    for container in pod.ours:
        if environment(container).get("LEASEHOLD_CONFIG") != f"{mount(container, CONFIG).get('mountPath')}/leasehold.yaml":
            yield f"{container['name']}: LEASEHOLD_CONFIG does not name leasehold.yaml of {CONFIG}"
        keys = pod.config_keys(container)
        if not keys or not set(keys) <= set(config_map.get("data", {})):
            yield f"{container['name']}: the ConfigMap does not hold {keys}"


@rule
def containers_that_may_do_little(pod):
    """Every container: no escalation, no capability, a read-only root, nothing privileged."""
    for container in pod.containers:
        context, name = security(container), container["name"]
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation is not false"
        if context.get("readOnlyRootFilesystem") is not True:
            yield f"{name}: readOnlyRootFilesystem is not true"
        if context.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name}: capabilities are not all dropped"
        if context.get("privileged") or context.get("runAsNonRoot", True) is not True or "seccompProfile" in context:
            yield f"{name}: takes back what the pod says"


@rule
def a_pod_that_may_do_little(pod):
    """The pod: never root, the runtime's seccomp profile, nothing of the host."""
    context = pod.spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "seccompProfile is not RuntimeDefault"
    yield from (f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(key))
    yield from (f"volume {v['name']} is the host's" for v in pod.volumes.values() if "hostPath" in v)
    yield from (f"{c['name']} has a hostPort" for c in pod.containers for p in c.get("ports", []) if "hostPort" in p)


@rule
def one_uid_for_ours_and_another_for_the_application(pod):
    """Ours under one uid, the application under another, unless signals need it; on OpenShift, none is fixed."""
    uids = {security(c).get("runAsUser") for c in pod.ours}
    application = security(pod.application()).get("runAsUser")
    if opened(pod):
        keys = ("runAsUser", "runAsGroup", "fsGroup")
        fixed = [k for c in (*map(security, pod.containers), pod.spec.get("securityContext", {})) for k in keys if k in c]
        yield from (f"{key} is fixed" for key in fixed)
        return
    signals = any("signal" in action for c in pod.ours for action in pod.config(c).get("on_change", []))
    expected = APPLICATION_UID if signals or pod.wrappers else OUR_UID
    if uids != {expected}:
        yield f"containers of ours run as {uids}, expected {expected}"
    if application != APPLICATION_UID:
        yield f"the application runs as {application}, expected {APPLICATION_UID}"


@rule
def the_application_reads_through_fs_group(pod):
    """fsGroup is the application's group: what ours writes belongs to it."""
    group = pod.spec.get("securityContext", {}).get("fsGroup")
    if not opened(pod) and (group is None or group != security(pod.application()).get("runAsGroup")):
        yield f"fsGroup is {group}"


@rule
def one_list_of_processes_only_for_signals(pod):
    """shareProcessNamespace where a signal or lifecycle.application needs it, and nowhere else."""
    needed = any(
        "signal" in action for c in pod.runners() for action in pod.config(c).get("on_change", [])
    ) or any(pod.lifecycle(c).get("application") for c in pod.runners())
    if bool(pod.spec.get("shareProcessNamespace")) is not needed:
        yield f"shareProcessNamespace is {pod.spec.get('shareProcessNamespace')}, needed: {needed}"


@rule
def requests_equal_limits(pod):
    """Every container has both, for cpu and memory, and they are equal: the last to be evicted."""
    for container in pod.containers:
        resources = container.get("resources", {})
        if set(resources.get("limits", {})) != {"cpu", "memory"} or resources["limits"] != resources.get("requests"):
            yield f"{container['name']}: requests and limits of cpu and memory are not equal"


@rule
def memory_for_what_it_writes(pod):
    """Ours has 10Mi, and the size of both memory volumes: their pages count against the writer."""
    volumes = sum(size(pod.volumes[name]["emptyDir"]["sizeLimit"]) for name in pod.memory())
    for container in pod.ours:
        if size(container["resources"]["limits"]["memory"]) < 10 * MiB + volumes:
            yield f"{container['name']}: less memory than 10Mi and the two volumes"
