"""Each rule refuses what was broken against it, and nothing else of these manifests. A rule without a
broken manifest is an error."""

import copy
import sys

import rules_life  # noqa: F401  (fills RULES)
import rules_place  # noqa: F401
from breaking import BREAKS
from pod import Pod
from render import Rendering, render
from rules import RULES, broken
from schemas import schema_problems


def main():
    rendered = {}

    def fresh(mode, components):
        key = (mode, components)
        if key not in rendered:
            rendered[key] = render(mode, components)
        return Rendering(mode, components, copy.deepcopy(rendered[key].documents))

    failures = []
    for name, mode, components, what, breaks in BREAKS:
        before = broken(Pod(fresh(mode, components)), only=name)
        if before:
            failures.append(f"{name}: breaks before anything was broken: {before}")
        rendering = fresh(mode, components)
        breaks(Pod(rendering))
        after = [problem for _, problem in broken(Pod(rendering), only=name)]
        if not [problem for problem in after if not problem.startswith("cannot be judged")]:
            failures.append(f"{name}: does not refuse: {what} (in {rendering.name}); it says {after or 'nothing'}")
    untried = set(RULES) - {name for name, *_ in BREAKS}
    failures += [f"{name}: no broken manifest tries it" for name in sorted(untried)]

    # The schemas are asked strictly, and of the version that is meant.
    typo = fresh("native", ())
    Pod(typo).containers[0]["securityContext"]["readOnlyRootFilesytem"] = True
    if not schema_problems(typo.documents, "1.34"):
        failures.append("schemas: a misspelt key is not refused")
    unknown = [{"apiVersion": "example.dev/v1", "kind": "Unknown", "metadata": {"name": "x"}}]
    if not schema_problems(unknown, "1.34"):
        failures.append("schemas: an unknown kind is not refused")
    if not schema_problems(fresh("native", ()).documents, "1.27"):
        failures.append("schemas: 1.27 takes a native sidecar, which came with 1.28")

    print(f"rules: {len(RULES)}, broken manifests: {len(BREAKS)}, failures: {len(failures)}")
    for failure in failures:
        print(f"  {failure}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
