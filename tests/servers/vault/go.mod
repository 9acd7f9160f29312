module leasehold.dev/tests/servers/vault

go 1.20

require github.com/hashicorp/vault v1.13.0
