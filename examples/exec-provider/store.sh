#!/bin/sh
# A store in a folder, through leasehold's exec provider: a file of JSON is a secret with fields.
set -eu
request=$(cat)
ask() { printf '%s' "$request" | jq -r "$1"; }
refuse() { jq -nc --arg kind "$1" '{version: 1, error: {kind: $kind}}'; exit; }

[ "$(ask .operation)" = fetch ] || refuse invalid
path=$(ask '.secrets[0].path')
case /$path/ in */../* | */./* | *//*) refuse invalid ;; esac

[ -d "$STORE" ] || refuse unavailable
[ -e "$STORE/$path" ] || refuse absent
[ -r "$STORE/$path" ] || refuse denied

version=$(stat -c '%i-%.9Y' "$STORE/$path")
if [ "$version" = "$(ask '.secrets[0].known_version')" ]; then
    jq -nc '{version: 1, secrets: [{unchanged: true}]}'
else
    jq -c --arg version "$version" '{version: 1, secrets: [{fields: ., version: $version}]}' "$STORE/$path"
fi
