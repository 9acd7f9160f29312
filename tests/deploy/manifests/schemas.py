"""The schemas of Kubernetes, strictly: an unknown key or kind is a problem."""

import json

import kubernetes_validate
from render import NATIVE

# Native sidecars are on by default from 1.29; the others need what 1.25 has.
NEWEST = 37
OLDEST = {mode: 29 for mode in NATIVE}
FIRST_OF_ALL = 25
# And image volumes are there from 1.33 on.
SINCE = {"image-volume": 33}

_known = {}


def versions(mode, components=()):
    """The versions that a mode with these components is for."""
    oldest = max([OLDEST.get(mode, FIRST_OF_ALL), *(SINCE.get(component, 0) for component in components)])
    return [f"1.{minor}" for minor in range(oldest, NEWEST + 1)]


def schema_problems(documents, version):
    """What the schemas of this version say against these documents. One document is asked once."""
    found = []
    for document in documents:
        key = (version, json.dumps(document, sort_keys=True))
        if key not in _known:
            _known[key] = _problem(document, version)
        if _known[key]:
            found.append(f"{document['kind']} {document['metadata']['name']}, {version}: {_known[key]}")
    return found


def asked():
    """How many questions were asked so far."""
    return len(_known)


def _problem(document, version):
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{error.message} (at {'.'.join(map(str, error.path))})"
    except kubernetes_validate.SchemaNotFoundError:
        return "no schema of this kind"
    return None
