"""moto_server, with one gap closed: run with the arguments of moto_server.

AWS gives whoever names no version the one that has AWSCURRENT. moto gives the newest that was put with that
stage, also after UpdateSecretVersionStage has moved it to another, which is how a rotation ends.
"""

import sys

from moto import server
from moto.secretsmanager.models import SecretsManagerBackend

move_stage = SecretsManagerBackend.update_secret_version_stage


def move_stage_and_follow_it(self, secret_id, version_stage, remove_from_version_id, move_to_version_id):
    moved = move_stage(self, secret_id, version_stage, remove_from_version_id, move_to_version_id)
    if version_stage == "AWSCURRENT" and move_to_version_id:
        self.secrets[secret_id].set_default_version_id(move_to_version_id)
    return moved


SecretsManagerBackend.update_secret_version_stage = move_stage_and_follow_it

if __name__ == "__main__":
    server.main(sys.argv[1:])
