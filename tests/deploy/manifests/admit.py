"""Creates every rendering on a real API server under Pod Security restricted; see ../admit."""

import copy
import os
import subprocess
import sys

import yaml
from pod import WORKLOADS, Pod
from render import combinations, render


def create(space, documents):
    """What kubectl says, and whether it was done."""
    command = [os.environ["KUBECTL"], "-n", space, "create", "--validate=strict", "-f", "-"]
    done = subprocess.run(command, input=yaml.safe_dump_all(documents), capture_output=True, text=True)
    return done.returncode == 0, done.stdout, done.stderr.strip()


def pod_of(pod, name):
    """The pod that the workload would make, for a node that there is not."""
    template = copy.deepcopy(pod.template)
    template["metadata"]["name"] = name
    template["spec"]["nodeSelector"] = {"leasehold.dev/nowhere": ""}
    return {"apiVersion": "v1", "kind": "Pod", **template}


def at_rest(workload, name):
    """The workload, under a name of its own, making no pods by itself."""
    workload = copy.deepcopy(workload)
    workload["metadata"]["name"] = name
    if workload["kind"] in ("Deployment", "StatefulSet"):
        workload["spec"]["replicas"] = 0
    else:
        workload["spec"]["suspend"] = True
    return workload


def main(space):
    problems, beside, workloads, count = [], {}, [], 0
    broken = None
    for mode, components in combinations():
        count += 1
        pod = Pod(render(mode, components))
        name = f"web-{count}"
        workloads += [at_rest(pod.workload, name), pod_of(pod, name)]
        for document in pod.documents:
            if document["kind"] not in WORKLOADS:
                beside[(document["kind"], document["metadata"]["name"])] = document
        if broken is None:
            broken = pod_of(pod, "broken")
            del broken["spec"]["initContainers"][0]["securityContext"]["allowPrivilegeEscalation"]
    ok, created, errors = create(space, [*beside.values(), *workloads])
    if not ok:
        problems.append(errors)
    expected = len(beside) + len(workloads)
    if created.count(" created") != expected:
        problems.append(f"{created.count(' created')} of {expected} were created")
    ok, _, errors = create(space, [broken])
    if ok or "violates PodSecurity" not in errors:
        problems.append(f"a pod that may escalate is not refused: {errors or 'created'}")
    print(f"{count} renderings, {expected} objects, {created.count('pod/')} pods admitted, {len(problems)} problems")
    for problem in problems:
        print(f"  {problem}")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
