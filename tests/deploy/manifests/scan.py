"""kube-score and trivy on every rendering; what they find against what is justified."""

import collections
import json
import os
import re
import subprocess
import sys
import tempfile

import yaml
from render import ROOT, combinations, render

# Those that kube-score runs only on request, and that say something here.
OPTIONAL = (
    "container-resource-requests-equal-limits",
    "container-cpu-requests-equal-limits",
    "container-memory-requests-equal-limits",
    "container-ports-check",
    "container-seccomp-profile",
)
PASSED = 10
Finding = collections.namedtuple("Finding", "tool check mode components where words")


def kube_score(directory, renderings):
    """Everything below the best grade."""
    for name, rendering in renderings.items():
        command = [os.environ["KUBE_SCORE"], "score", "--output-format", "json"]
        for test in OPTIONAL:
            command += ["--enable-optional-test", test]
        done = subprocess.run([*command, os.path.join(directory, name)], capture_output=True, text=True)
        for thing in json.loads(done.stdout):
            for check in thing["checks"]:
                if check["skipped"] or check["grade"] >= PASSED:
                    continue
                for comment in check["comments"] or [{}]:
                    where = f"{thing['type_meta']['kind']} {comment.get('path', '')}".strip()
                    words = comment.get("summary", check["check"]["name"])
                    yield Finding("kube-score", check["check"]["id"], rendering.mode, rendering.components, where, words)


def trivy(directory, renderings):
    """Every check that failed, of any severity."""
    command = [os.environ["TRIVY"], "config", "--skip-check-update", "--quiet", "--format", "json", directory]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"trivy ends with {done.returncode}: {done.stderr.strip()}")
    results = {result["Target"]: result for result in json.loads(done.stdout).get("Results", [])}
    for name, rendering in renderings.items():
        if not results.get(name, {}).get("MisconfSummary", {}).get("Successes"):
            raise SystemExit(f"trivy did not look at {name}")
        for found in results[name].get("Misconfigurations", []):
            yield Finding("trivy", found["ID"], rendering.mode, rendering.components, "", found["Message"])


def justifies(entry, finding):
    """Whether it is about this finding: what an entry does not say, it does not ask for."""
    return (
        (entry["tool"], entry["check"]) == (finding.tool, finding.check)
        and finding.mode in entry.get("modes", [finding.mode])
        and set(entry.get("components", [])) <= set(finding.components)
        and re.search(entry.get("words", ""), finding.words) is not None
    )


def judge(findings, justified):
    """What nobody justifies, and what justifies nothing."""
    used = collections.Counter()
    problems = []
    for finding in findings:
        entries = [index for index, entry in enumerate(justified) if justifies(entry, finding)]
        used.update(entries)
        if not entries:
            name = "+".join((finding.mode, *finding.components))
            problems.append(f"{finding.tool} {finding.check} in {name}: {finding.words} {finding.where}".strip())
    for index, entry in enumerate(justified):
        if not used[index]:
            problems.append(f"{entry['tool']} {entry['check']}: justified, and not found any more")
        if not entry.get("reason", "").strip():
            problems.append(f"{entry['tool']} {entry['check']}: justified without a reason")
    return problems, used


def selftest(findings, justified):
    """A new finding and a stale justification are both seen."""
    new = findings[0]._replace(check="no-such-check")
    stale = {"tool": "trivy", "check": "KSV-9999", "reason": "x"}
    problems, _ = judge([*findings, new], [*justified, stale])
    narrow = [{**justified[0], "modes": []}, *justified[1:]]
    assert len(problems) >= 2 and any("no-such-check" in p for p in problems) and any("KSV-9999" in p for p in problems)
    assert judge(findings, narrow)[0], "a justification for no mode justifies"


def read_me(justified):
    """The README's table names every check that is justified, and no other."""
    with open(os.path.join(ROOT, "README.md")) as file:
        said = set(re.findall(r"^\| (kube-score|trivy) \| `([^`]+)` \|", file.read(), re.M))
    known = {(entry["tool"], entry["check"]) for entry in justified}
    for tool, check in sorted(said ^ known):
        yield f"README.md: {tool} {check} is {'not in' if (tool, check) in known else 'only in'} its table"


def main():
    with open("justified.yaml") as file:
        justified = yaml.safe_load(file)
    with tempfile.TemporaryDirectory() as directory:
        renderings = {}
        for mode, components in combinations():
            rendering = render(mode, components)
            name = f"{rendering.name}.yaml"
            with open(os.path.join(directory, name), "w") as file:
                file.write(rendering.text)
            renderings[name] = rendering
        findings = [*kube_score(directory, renderings), *trivy(directory, renderings)]
    problems, used = judge(findings, justified)
    selftest(findings, justified)
    problems += read_me(justified)
    print(f"{'tool':<12}{'check':<48}{'findings':>8}")
    for index, entry in enumerate(justified):
        print(f"{entry['tool']:<12}{entry['check']:<48}{used[index]:>8}")
    print(f"{len(renderings)} renderings, {len(findings)} findings, {len(problems)} problems")
    for problem in problems:
        print(f"  {problem}")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
