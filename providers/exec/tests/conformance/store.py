"""A store of the suite, through the exec provider: what it holds, and what is played on it, are files in $STORE."""
import base64, json, os, sys, time

root = os.environ["STORE"]
request = json.load(sys.stdin)
inside = lambda name: os.path.join(root, name)


def count(name):
    with open(inside(name), "ab", buffering=0) as file:
        file.write(b".")


def fetch(wanted, held):
    path, version = wanted["path"], wanted.get("version")
    if path in held["denied"]:
        return {"error": {"kind": "denied"}}
    versions = held["secrets"].get(path, [])
    if not versions or (version and version not in map(str, range(1, len(versions) + 1))):
        return {"error": {"kind": "absent"}}
    version = version or str(len(versions))
    if wanted.get("known_version") == version:
        return {"unchanged": True, "version": version}
    kept = versions[int(version) - 1]
    return {"version": version, **kept}


count("requests")
held = json.load(open(inside("held")))
answer = {"version": 1}
if request["operation"] == "fetch":
    answer["secrets"] = [fetch(wanted, held) for wanted in request["secrets"]]
answer = json.dumps(answer)
try:
    fault = json.load(open(inside("fault")))
except FileNotFoundError:
    fault = {"path": None}
if any(wanted["path"] == fault["path"] for wanted in request.get("secrets", [])):
    count("met")
    match fault["kind"]:
        case "throttled":
            answer = json.dumps({"version": 1, "error": {"kind": "throttled", "retry_after": fault["wait"]}})
        case "unavailable":
            answer = json.dumps({"version": 1, "error": {"kind": "unavailable"}})
        case "withhold":
            while os.path.exists(inside("fault")):
                time.sleep(0.01)
        case "half":
            answer = answer[: len(answer) // 2]
        case "killed":
            os.kill(os.getpid(), 9)
        case "page":
            answer = "<html><body>Please log in to the network first.</body></html>"
        case "nonsense":
            answer = '{"version":1,"secrets":[7]}'
sys.stdout.write(answer)
