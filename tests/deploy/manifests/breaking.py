"""For each rule, manifests that are broken against it: (rule, mode, components, in words, what breaks it)."""

from pod import HANDOVER, OUTPUT, TOKEN

BREAKS = []


def breaks(rule, what, mode="native", components=()):
    """Adds a function that breaks a pod."""

    def add(function):
        BREAKS.append((rule, mode, tuple(components), what, function))
        return function

    return add


def drop(mapping, *keys):
    """Deletes what is at this path."""
    for key in keys[:-1]:
        mapping = mapping[key]
    del mapping[keys[-1]]


def put(mapping, *path_and_value):
    """Sets what is at this path."""
    *path, last, value = path_and_value
    for key in path:
        mapping = mapping.setdefault(key, {}) if isinstance(mapping, dict) else mapping[key]
    mapping[last] = value


def ours(pod):
    """The first container of ours."""
    return pod.ours[0]


def edit(pod, old, new):
    """Replaces text of the configuration; it has to be there."""
    data = pod.config_map()["data"]
    assert old in data["leasehold.yaml"], old
    data["leasehold.yaml"] = data["leasehold.yaml"].replace(old, new)


def mounted(container, volume):
    """Where a container has a volume."""
    return next(m for m in container["volumeMounts"] if m["name"] == volume)


def document(pod, kind):
    """The document of this kind."""
    return next(d for d in pod.documents if d["kind"] == kind)


def simple(rule, what, change, **where):
    """One that is a single expression."""
    breaks(rule, what, **where)(change)


SEC = "securityContext"
R = "one_workload_with_its_labels"
simple(R, "the pod without the label", lambda p: drop(p.labels, "leasehold.dev/mode"))
simple(R, "a mode that there is not", lambda p: put(p.labels, "leasehold.dev/mode", "sidecar"))
simple(R, "the workload without the label", lambda p: drop(p.workload, "metadata", "labels", "leasehold.dev/mode"))
simple(R, "a selector that misses", lambda p: put(p.workload, "spec", "selector", "matchLabels", {"app": "x"}))
simple(R, "no selector", lambda p: put(p.workload, "spec", "selector", {}))
simple(R, "two workloads", lambda p: p.documents.append(dict(p.workload)))
simple(R, "another default container", lambda p: drop(p.annotations, "kubectl.kubernetes.io/default-container"))
R = "the_parts_of_the_mode"
simple(R, "not restarted: an init container that never ends", lambda p: drop(ours(p), "restartPolicy"))
simple(R, "a native one in a classic pod", lambda p: put(p.init[0], "restartPolicy", "Always"), mode="classic")
simple(R, "no init container", lambda p: p.init.clear(), mode="classic")
simple(R, "init as a sidecar", lambda p: put(ours(p), "args", ["init"]))
simple(R, "no application", lambda p: put(p.application(), "name", "app"))
R = "a_wrapper_that_an_init_container_installs"
simple(R, "not wrapped", lambda p: put(p.application(), "args", ["/application"]), mode="exec")
simple(R, "nobody installs it", lambda p: p.init.clear(), mode="exec")
simple(R, "installed elsewhere", lambda p: put(p.init[0], "args", ["install", "/tmp"]), mode="exec")
simple(R, "a binary that the application may replace", lambda p: drop(mounted(p.application(), "leasehold-binary"), "readOnly"), mode="exec")
simple(R, "another program", lambda p: put(p.application(), "command", ["/leasehold"]), mode="exec")
simple(R, "no command", lambda p: put(p.application(), "args", ["exec", "--"]), mode="exec")
simple(R, "a volume without a limit", lambda p: drop(p.volumes["leasehold-binary"], "emptyDir", "sizeLimit"), mode="exec")
simple(R, "files and nowhere to write them", lambda p: edit(p, "files: {}", "files: {x: {template: x}}"), mode="exec")
simple(R, "no readiness", lambda p: drop(p.application(), "readinessProbe"), mode="exec")
IMAGE = {"mode": "exec", "components": ["image-volume"]}
simple(R, "another image", lambda p: put(p.volumes["leasehold-binary"], "image", "reference", "busybox:1"), **IMAGE)
simple(R, "no image", lambda p: put(p.volumes["leasehold-binary"], "image", {}), **IMAGE)
simple(R, "installed as well", lambda p: p.init.append({"name": "leasehold-install", "args": ["install", "/leasehold-binary"]}), **IMAGE)
simple(R, "run from elsewhere", lambda p: put(p.application(), "command", ["/leasehold"]), **IMAGE)
simple(R, "a drain that nobody notices", lambda p: edit(p, "drain: 5s", "drain: 1s"), mode="exec")
R = "one_image_and_its_entrypoint"
simple(R, "two images", lambda p: put(ours(p), "image", "leasehold:0.0.9"), mode="classic")
simple(R, "a shell", lambda p: put(ours(p), "command", ["/bin/sh", "-c"]))
R = "volumes_in_memory_with_a_limit"
for volume in (OUTPUT, HANDOVER):
    simple(R, f"{volume} on disk", lambda p, v=volume: drop(p.volumes[v], "emptyDir", "medium"))
    simple(R, f"{volume} without a limit", lambda p, v=volume: drop(p.volumes[v], "emptyDir", "sizeLimit"))
R = "output_in_a_directory_of_ours"
simple(R, "the volume itself", lambda p: edit(p, "/run/secrets/leasehold/live", "/run/secrets/leasehold"))
simple(R, "elsewhere", lambda p: edit(p, "/run/secrets/leasehold/live", "/tmp/live"))
simple(R, "read-only for ours", lambda p: put(mounted(ours(p), OUTPUT), "readOnly", True))
R = "output_read_only_for_the_application"
simple(R, "writable", lambda p: drop(mounted(p.application(), OUTPUT), "readOnly"))
simple(R, "absent", lambda p: p.application()["volumeMounts"].clear())
simple(R, "in another place", lambda p: put(mounted(p.application(), OUTPUT), "mountPath", "/secrets"))
simple(R, "another container writes", lambda p: p.init.insert(0, {"name": "setup", "volumeMounts": [{"name": OUTPUT, "mountPath": "/x"}]}))
R = "handover_for_ours_alone"
for volume in (HANDOVER, TOKEN, "leasehold-config"):
    simple(R, f"the application has {volume}", lambda p, v=volume: p.application()["volumeMounts"].append({"name": v, "mountPath": "/x", "readOnly": True}))
simple(R, "an init container has it", lambda p: p.init.insert(0, {"name": "setup", "volumeMounts": [{"name": HANDOVER, "mountPath": "/x"}]}))
simple(R, "ours has it not", lambda p: ours(p)["volumeMounts"].remove(mounted(ours(p), HANDOVER)))
simple(R, "the init container has it not", lambda p: p.init[0]["volumeMounts"].remove(mounted(p.init[0], HANDOVER)), mode="classic")
simple(R, "another state directory", lambda p: edit(p, "state_directory: /run/leasehold", "state_directory: /tmp"))
R = "no_part_of_a_volume"
simple(R, "a subPath of the output", lambda p: put(mounted(p.application(), OUTPUT), "subPath", "live"))
simple(R, "a subPathExpr in ours", lambda p: put(mounted(ours(p), HANDOVER), "subPathExpr", "$(POD)"))
R = "a_token_for_vault_alone"
simple(R, "the API server's audience", lambda p: drop(p.volumes[TOKEN]["projected"]["sources"][0], "serviceAccountToken", "audience"))
simple(R, "for an hour", lambda p: put(p.volumes[TOKEN]["projected"]["sources"][0]["serviceAccountToken"], "expirationSeconds", 3600))
simple(R, "for as long as is usual", lambda p: drop(p.volumes[TOKEN]["projected"]["sources"][0], "serviceAccountToken", "expirationSeconds"))
simple(R, "another path", lambda p: edit(p, "token_file: /var/run/secrets/tokens/vault", "token_file: /var/run/secrets/kubernetes.io/serviceaccount/token"))
simple(R, "absent", lambda p: p.volumes[TOKEN]["projected"]["sources"].clear())
R = "an_account_of_its_own_without_a_standing_token"
simple(R, "the default account", lambda p: drop(p.spec, "serviceAccountName"))
simple(R, "an account that does not come along", lambda p: put(p.spec, "serviceAccountName", "other"))
simple(R, "mounted by the pod", lambda p: drop(p.spec, "automountServiceAccountToken"))
simple(R, "mounted by the account", lambda p: put(document(p, "ServiceAccount"), "automountServiceAccountToken", True))
R = "a_configuration_that_cannot_change_under_us"
simple(R, "not immutable", lambda p: drop(p.config_map(), "immutable"))
simple(R, "not generated", lambda p: (put(p.config_map(), "metadata", "name", "web"), put(p.volumes["leasehold-config"], "configMap", "name", "web")))
simple(R, "no LEASEHOLD_CONFIG", lambda p: ours(p)["env"].clear())
simple(R, "a key that is not there", lambda p: p.config_map()["data"].clear())
simple(R, "an argument that names another", lambda p: put(ours(p), "args", ["run", "--config", "/etc/leasehold/other.yaml"]))
R = "containers_that_may_do_little"
for index, who in enumerate(("ours", "the application")):
    simple(R, f"{who} may escalate", lambda p, i=index: drop(p.containers[i], SEC, "allowPrivilegeEscalation"))
    simple(R, f"{who} has a writable root", lambda p, i=index: put(p.containers[i], SEC, "readOnlyRootFilesystem", False))
    simple(R, f"{who} keeps capabilities", lambda p, i=index: drop(p.containers[i], SEC, "capabilities"))
    simple(R, f"{who} adds a capability", lambda p, i=index: put(p.containers[i], SEC, "capabilities", "add", ["NET_BIND_SERVICE"]))
    simple(R, f"{who} is privileged", lambda p, i=index: put(p.containers[i], SEC, "privileged", True))
    simple(R, f"{who} may be root", lambda p, i=index: put(p.containers[i], SEC, "runAsNonRoot", False))
    simple(R, f"{who} unconfined", lambda p, i=index: put(p.containers[i], SEC, "seccompProfile", {"type": "Unconfined"}))
R = "a_pod_that_may_do_little"
simple(R, "may be root", lambda p: drop(p.spec, SEC, "runAsNonRoot"))
simple(R, "no seccomp profile", lambda p: drop(p.spec, SEC, "seccompProfile"))
for key in ("hostNetwork", "hostPID", "hostIPC"):
    simple(R, key, lambda p, k=key: put(p.spec, k, True))
simple(R, "a directory of the host", lambda p: p.spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}}))
simple(R, "a port of the host", lambda p: put(ours(p)["ports"][0], "hostPort", 9441))
R = "one_uid_for_ours_and_another_for_the_application"
simple(R, "the init container under another", lambda p: put(p.init[0], SEC, "runAsUser", 65533), mode="classic")
simple(R, "the application under ours", lambda p: put(p.application(), SEC, "runAsUser", 65532))
simple(R, "ours under the application's", lambda p: put(ours(p), SEC, "runAsUser", 10001))
simple(R, "a signal under another uid", lambda p: put(ours(p), SEC, "runAsUser", 65532), components=["signal"])
simple(R, "a fixed uid on OpenShift", lambda p: put(ours(p), SEC, "runAsUser", 65532), components=["openshift"])
simple(R, "a fixed fsGroup on OpenShift", lambda p: put(p.spec, SEC, "fsGroup", 10001), components=["openshift"])
R = "the_application_reads_through_fs_group"
simple(R, "none", lambda p: drop(p.spec, SEC, "fsGroup"))
simple(R, "another group", lambda p: put(p.application(), SEC, "runAsGroup", 10002))
R = "one_list_of_processes_only_for_signals"
simple(R, "for nothing", lambda p: put(p.spec, "shareProcessNamespace", True))
simple(R, "not where a signal is sent", lambda p: drop(p.spec, "shareProcessNamespace"), components=["signal"])
simple(R, "not where the end is watched", lambda p: drop(p.spec, "shareProcessNamespace"), mode="job-classic")
R = "requests_equal_limits"
simple(R, "a lower request", lambda p: put(ours(p), "resources", "requests", "memory", "16Mi"))
simple(R, "no limit of cpu", lambda p: drop(ours(p), "resources", "limits", "cpu"))
simple(R, "the application has none", lambda p: drop(p.application(), "resources"))
R = "memory_for_what_it_writes"
simple(R, "less memory", lambda p: put(ours(p), "resources", "limits", "memory", "16Mi"))
simple(R, "a larger volume", lambda p: put(p.volumes[OUTPUT], "emptyDir", "sizeLimit", "64Mi"))
R = "no_liveness_probe"
simple(R, "ours", lambda p: put(ours(p), "livenessProbe", ours(p)["startupProbe"]))
simple(R, "the application", lambda p: put(p.application(), "livenessProbe", {"httpGet": {"port": "http"}}))
R = "a_start_that_outlasts_the_deadline"
simple(R, "no probe", lambda p: drop(ours(p), "startupProbe"))
simple(R, "no probe of an ordinary one", lambda p: drop(p.runners()[0], "startupProbe"), mode="classic")
simple(R, "another probe", lambda p: put(ours(p), "startupProbe", "exec", "command", ["/leasehold", "probe", "live"]))
simple(R, "as patient as the deadline, not more", lambda p: put(ours(p), "startupProbe", "failureThreshold", 300))
simple(R, "a longer deadline", lambda p: edit(p, "startup_deadline: ${LEASEHOLD_STARTUP_DEADLINE:-5m}", "startup_deadline: 10m"))
simple(R, "a longer deadline by the environment", lambda p: ours(p)["env"].append({"name": "LEASEHOLD_STARTUP_DEADLINE", "value": "10m"}))
simple(R, "a hook that gives up first", lambda p: put(ours(p), "lifecycle", "postStart", "exec", "command", ["/leasehold", "probe", "ready", "--wait", "30s"]), components=["fast-start"])
simple(R, "a hook and the deadline as it was", lambda p: ours(p)["env"].pop(), components=["fast-start"])
simple(R, "neither hook nor probe", lambda p: drop(ours(p), "lifecycle"), components=["fast-start"])
R = "readiness_only_on_request"
simple(R, "uninvited", lambda p: put(ours(p), "readinessProbe", ours(p)["startupProbe"]))
simple(R, "absent", lambda p: drop(ours(p), "readinessProbe"), components=["readiness"])
simple(R, "over the network", lambda p: put(ours(p), "readinessProbe", {"httpGet": {"path": "/readyz", "port": 9441}}), components=["readiness"])
R = "a_mesh_proxy_outlives_us"
simple(R, "a proxy after ours", lambda p: p.init.append({"name": "istio-proxy", "restartPolicy": "Always"}))
R = "revocation_waits_for_the_application"
simple(R, "a native one that waits", lambda p: edit(p, "revoke_delay: 0s", "revoke_delay: 20s"))
simple(R, "a native one by default", lambda p: edit(p, "revoke_delay: 0s", ""))
simple(R, "an ordinary one that does not", lambda p: edit(p, "revoke_delay: 20s", "revoke_delay: 0s"), mode="classic")
R = "enough_time_to_end"
simple(R, "too short", lambda p: put(p.spec, "terminationGracePeriodSeconds", 26))
simple(R, "a longer drain", lambda p: edit(p, "revoke_delay: 20s", "revoke_delay: 40s"), mode="classic")
simple(R, "a longer revocation", lambda p: edit(p, "revoke_timeout: 5s", "revoke_timeout: 15s"))
simple(R, "a preStop hook", lambda p: put(p.application(), "lifecycle", {"preStop": {"sleep": {"seconds": 10}}}))
simple(R, "a preStop hook of unknown length", lambda p: put(p.application(), "lifecycle", {"preStop": {"exec": {"command": ["/drain"]}}}))
R = "telemetry_from_outside"
simple(R, "loopback", lambda p: edit(p, '"[::]:9441"', "127.0.0.1:9441"))
simple(R, "no port", lambda p: drop(ours(p), "ports"))
simple(R, "a port without its name", lambda p: drop(ours(p)["ports"][0], "name"))
simple(R, "a port of an init container", lambda p: put(ours(p), "ports", [{"name": "leasehold", "containerPort": 9441}]), mode="init")
R = "scraped_only_on_request"
simple(R, "uninvited", lambda p: put(p.annotations, "prometheus.io/scrape", "true"))
simple(R, "another port", lambda p: put(p.annotations, "prometheus.io/port", "8080"), components=["scrape"])
R = "left_out_of_backups"
simple(R, "no annotation", lambda p: drop(p.annotations, "backup.velero.io/backup-volumes-excludes"))
simple(R, "one of the two", lambda p: put(p.annotations, "backup.velero.io/backup-volumes-excludes", OUTPUT))
simple(R, "chosen for backups", lambda p: put(p.annotations, "backup.velero.io/backup-volumes", OUTPUT))
R = "neutral_to_disruption"
simple(R, "a budget", lambda p: p.documents.append({"kind": "PodDisruptionBudget", "metadata": {"name": "web"}}))
simple(R, "local volumes that hold a node", lambda p: drop(p.annotations, "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"))
simple(R, "evicted at will", lambda p: put(p.annotations, "cluster-autoscaler.kubernetes.io/safe-to-evict", "true"))
simple(R, "never disrupted", lambda p: put(p.annotations, "karpenter.sh/do-not-disrupt", "true"))
simple(R, "a priority", lambda p: put(p.spec, "priorityClassName", "system-node-critical"))
R = "a_job_that_ends"
simple(R, "a native one that is always restarted, and its pod too", lambda p: put(p.spec, "restartPolicy", "Always"), mode="job")
simple(R, "an application that nobody watches", lambda p: edit(p, "application:\n    process: ${APPLICATION_PROCESS:-web}", "revoke_delay: 20s"), mode="job-classic")
simple(R, "restarted", lambda p: put(p.spec, "restartPolicy", "OnFailure"), mode="job-classic")
simple(R, "always restarted", lambda p: drop(p.spec, "restartPolicy"), mode="cronjob")
R = "a_private_authority_only_on_request"
simple(R, "uninvited", lambda p: ours(p)["env"].append({"name": "VAULT_CACERT", "value": "/x"}))
simple(R, "not in the init container", lambda p: p.init[0]["env"].pop(), mode="classic", components=["private-ca"])
simple(R, "another ConfigMap", lambda p: put(p.volumes["leasehold-ca"], "configMap", "name", "x"), components=["private-ca"])
R = "a_network_policy_that_lists_both_sides"
NP = ["network-policy"]
simple(R, "uninvited", lambda p: p.documents.append({"kind": "NetworkPolicy", "metadata": {"name": "x"}, "spec": {"podSelector": {}}}))
simple(R, "one way", lambda p: put(document(p, "NetworkPolicy"), "spec", "policyTypes", ["Ingress"]), components=NP)
simple(R, "another pod", lambda p: put(document(p, "NetworkPolicy"), "spec", "podSelector", "matchLabels", {"app": "x"}), components=NP)
simple(R, "no Vault", lambda p: document(p, "NetworkPolicy")["spec"]["egress"].pop(1), components=NP)
simple(R, "no database", lambda p: document(p, "NetworkPolicy")["spec"]["egress"].pop(2), components=NP)
simple(R, "nobody may call", lambda p: document(p, "NetworkPolicy")["spec"]["ingress"].pop(1), components=NP)
simple(R, "everything may leave", lambda p: document(p, "NetworkPolicy")["spec"]["egress"].append({}), components=NP)
