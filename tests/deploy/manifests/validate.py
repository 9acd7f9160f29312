"""Renders everything, and holds it against the schemas, the rules and `leasehold check`."""

import os
import re
import subprocess
import sys
import tempfile

import rules_life  # noqa: F401  (fills RULES)
import rules_place  # noqa: F401
import yaml
from pod import OURS, Pod, environment
from render import FITS, MODES, ROOT, built, combinations, render
from rules import RULES, broken
from schemas import asked, schema_problems, versions


def main():
    problems, plain, checked = [], {}, set()
    print(f"{'rendering':<72} {'documents':>9}  schemas")
    for mode, components in combinations():
        rendering = render(mode, components)
        pod = Pod(rendering)
        found = [f"{name}: {problem}" for name, problem in broken(pod)]
        for version in versions(mode, components):
            found += schema_problems(rendering.documents, version)
        found += accepted(pod, checked)
        if not components:
            plain[mode] = rendering
        elif rendering.text == plain[mode].text:
            found.append("the component changes nothing")
        of = versions(mode, components)
        print(f"{rendering.name:<72} {len(rendering.documents):>9}  {of[0]} to {of[-1]}{'  BROKEN' if found else ''}")
        problems += [f"{rendering.name}: {problem}" for problem in found]
    problems += alike(plain) + headers() + read_me() + overlay_of_read_me()
    print(f"{len(RULES)} rules, {asked()} questions to schemas, {len(checked)} configurations checked, {len(problems)} problems")
    for problem in problems:
        print(f"  {problem}")
    return bool(problems)


def accepted(pod, checked):
    """`leasehold check` of what a container of ours reads, in the container's environment."""
    for container in pod.ours:
        data = pod.config_map().get("data", {})
        keys = pod.config_keys(container) or []
        variables = environment(container)
        key = repr((sorted((k, data[k]) for k in keys), sorted(variables.items())))
        if key in checked:
            continue
        checked.add(key)
        with tempfile.TemporaryDirectory() as directory:
            command = [os.environ["LEASEHOLD_BIN"], "check"]
            for name in keys:
                path = os.path.join(directory, name)
                with open(path, "w") as file:
                    file.write(data[name])
                command += ["--config", path]
            done = subprocess.run(command, capture_output=True, text=True, env=variables)
        if done.returncode or not keys:
            yield f"{container['name']}: leasehold check ends with {done.returncode}: {done.stderr.strip()}"


def alike(plain):
    """What the modes have in common does not drift apart: the account, and all of the configuration but its
    life cycle. The init mode has a secret of its own kind,
    the exec mode no files and no volume for them."""

    def common(rendering):
        pod = Pod(rendering)
        config = dict(pod.config(pod.ours[0]))
        own = {"init": ("secrets", "files"), "exec": ("files", "env", "exec")}.get(rendering.mode, ())
        for key in ("lifecycle", *own):
            del config[key]
        volumes = pod.spec["volumes"][1:] if rendering.mode != "exec" else None
        return config, pod.all("ServiceAccount"), volumes, pod.spec["securityContext"]

    found = []
    first = common(plain[MODES[0]])
    for mode in MODES:
        for what, mine, other in zip(("configuration", "account", "volumes", "pod"), common(plain[mode]), first):
            if isinstance(mine, dict):
                other = {key: other[key] for key in mine if key in other}
            if mine is not None and mine != other:
                found.append(f"{mode}: its {what} is not that of {MODES[0]}")
    return found


def headers():
    """Each component says at its head for which modes it is; the network policy that it isolates the pod."""
    found = []
    for component in FITS:
        with open(os.path.join(ROOT, "components", component, "kustomization.yaml")) as file:
            head = file.read().split("apiVersion")[0]
        if not head.startswith("# "):
            found.append(f"{component}: no words at its head")
        if component == "network-policy" and "isolates the WHOLE pod" not in head:
            found.append(f"{component}: does not say that it isolates the whole pod")
    there = sorted(os.listdir(os.path.join(ROOT, "components")))
    if there != sorted(FITS):
        found.append(f"components: there are {there}, known are {sorted(FITS)}")
    modes = sorted(d for d in os.listdir(ROOT) if os.path.exists(os.path.join(ROOT, d, "kustomization.yaml")))
    if modes != sorted(MODES):
        found.append(f"modes: there are {modes}, known are {sorted(MODES)}")
    return found


def read_me():
    """README.md's table of components says the same as FITS."""
    with open(os.path.join(ROOT, "README.md")) as file:
        text = file.read()
    found = []
    for component, modes in FITS.items():
        row = re.search(rf"^\| \[`{component}`\]\([^)]*\) \| ([^|]*) \|", text, re.M)
        said = () if not row else MODES if row[1].strip() == "all" else tuple(re.findall(r"`([^`]+)`", row[1]))
        if sorted(said) != sorted(modes):
            found.append(f"README.md: {component} is for {sorted(modes)}, it says {sorted(said)}")
    return found


def overlay_of_read_me():
    """The overlay that README.md shows renders, keeps the rules, and says what it says."""
    with open(os.path.join(ROOT, "README.md")) as file:
        block = re.search(r"```yaml\n(.*?)```", file.read(), re.S)[1]
    with open(os.path.join(ROOT, "native/leasehold.yaml")) as file:
        configuration = file.read().replace("role: web", "role: shop")
    with tempfile.TemporaryDirectory() as overlay:
        root = os.path.relpath(ROOT, os.path.realpath(overlay))
        kustomization = block.replace("../leasehold/deploy/kustomize", root).replace("sha256:…", f"sha256:{'0' * 64}")
        for name, text in (("kustomization.yaml", kustomization), ("leasehold.yaml", configuration)):
            with open(os.path.join(overlay, name), "w") as file:
                file.write(text)
        rendering = built(overlay, "native", ("fast-start",))
    pod = Pod(rendering)
    found = [f"README.md's overlay: {name}: {problem}" for name, problem in broken(pod)]
    said = pod.config(pod.ours[0])["providers"]["vault"]["auth"]["role"], pod.ours[0]["image"], pod.application()["image"]
    if said != ("shop", f"registry.example/leasehold@sha256:{'0' * 64}", "registry.example/shop:2.4.1"):
        found.append(f"README.md's overlay comes to {said}")
    return found


if __name__ == "__main__":
    sys.exit(main())
