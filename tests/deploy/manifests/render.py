"""Every mode, alone and with each component that fits it, as `kubectl kustomize` renders it."""

import os
import subprocess
import tempfile
from dataclasses import dataclass, field

import yaml

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../../deploy/kustomize"))

NATIVE = ("native", "job", "cronjob", "statefulset")
CLASSIC = ("classic", "job-classic")
INIT = ("init",)
EXEC = ("exec",)
MODES = NATIVE + CLASSIC + INIT + EXEC

# Which component is for which mode. README.md says the same (test: validate.py).
FITS = {
    "fast-start": NATIVE,
    "image-volume": EXEC,
    "network-policy": MODES,
    "openshift": MODES,
    "private-ca": MODES,
    "readiness": NATIVE + CLASSIC,
    "scrape": NATIVE + CLASSIC + EXEC,
    "signal": NATIVE + CLASSIC,
}

# What people will want together; the order is the one that the headers ask for.
TOGETHER = (
    ("signal", "openshift"),
    ("fast-start", "signal", "readiness", "scrape", "private-ca", "network-policy"),
    ("openshift", "image-volume"),
)


@dataclass(frozen=True)
class Rendering:
    """What one kustomization comes to."""

    mode: str
    components: tuple = ()
    documents: list = field(default_factory=list, compare=False)
    text: str = field(default="", compare=False)

    @property
    def name(self):
        return "+".join((self.mode, *self.components))


def render(mode, components=()):
    """One mode with these components."""
    with tempfile.TemporaryDirectory() as overlay:
        # kustomize takes no absolute path.
        root = os.path.relpath(ROOT, os.path.realpath(overlay))
        kustomization = {
            "resources": [f"{root}/{mode}"],
            "components": [f"{root}/components/{component}" for component in components],
        }
        with open(os.path.join(overlay, "kustomization.yaml"), "w") as file:
            yaml.safe_dump(kustomization, file)
        return built(overlay, mode, components)


def built(folder, mode, components):
    """What the kustomization in a folder comes to."""
    done = subprocess.run([os.environ["KUBECTL"], "kustomize", folder], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{mode} with {components or 'no component'} cannot be rendered: {done.stderr.strip()}")
    return Rendering(mode, tuple(components), list(yaml.safe_load_all(done.stdout)), done.stdout)


def combinations():
    """What there is to render: (mode, components)."""
    for mode in MODES:
        yield mode, ()
        for component, modes in FITS.items():
            if mode in modes:
                yield mode, (component,)
        for components in TOGETHER:
            fitting = tuple(component for component in components if mode in FITS[component])
            if len(fitting) > 1:
                yield mode, fitting
