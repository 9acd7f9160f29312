#!/usr/bin/env python3
"""A store that gives credentials for TTL seconds, through leasehold's exec provider."""
import fcntl, json, os, secrets, sys, time

request, now = json.load(sys.stdin), time.time()
database = open(os.environ["STORE"], "a+")
fcntl.flock(database, fcntl.LOCK_EX)  # several requests may come at once
database.seek(0)
users = {id: user for id, user in json.loads(database.read() or "{}").items() if user["ends"] > now}
ttl, longest = float(os.environ["TTL"]), float(os.environ["MAX_TTL"])
answer = {"version": 1}

def life(user):
    return {"ttl": user["ends"] - now, "renewable": user["ends"] < user["last"]}

if request["operation"] == "fetch":  # one at a time, since there are leases
    id, password = "web-" + secrets.token_hex(4), secrets.token_urlsafe(24)
    users[id] = {"password": password, "ends": now + ttl, "last": now + longest}
    fields = {"username": id, "password": password}
    answer["secrets"] = [{"fields": fields, "lease": {"id": id, **life(users[id])}}]
elif (user := users.get(request["lease"]["id"])) is None:
    answer["error"] = {"kind": "absent"}
elif request["operation"] == "revoke":
    del users[request["lease"]["id"]]
else:
    if request["operation"] == "renew":
        user["ends"] = min(now + request["lease"]["increment"], user["last"])
    answer["lease"] = life(user)  # renew, lookup

database.truncate(0)
json.dump(users, database)
json.dump(answer, sys.stdout)
