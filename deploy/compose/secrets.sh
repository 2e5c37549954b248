#!/bin/sh
# Makes the secrets of compose.yaml, once. Keep a copy of encryption_keys elsewhere: without it no backup opens.
set -eu
cd "$(dirname "$0")"
[ ! -e secrets ] || { echo "secrets/ exists already; nothing is changed" >&2; exit 1; }
umask 077
mkdir secrets.part
random() { openssl rand -hex 24; }
postgres=$(random)
redis=$(random)
openssl rand -base64 32 > secrets.part/encryption_keys
printf '%s' "$postgres" > secrets.part/postgres_password
printf '%s' "$redis" > secrets.part/redis_password
printf 'postgres://gatehouse:%s@postgres:5432/gatehouse?sslmode=disable' "$postgres" > secrets.part/database
printf 'redis://:%s@redis:6379/0' "$redis" > secrets.part/redis
chmod 644 secrets.part/* # the containers' users read the files, each mounted by itself; the folder stays closed to everyone else here
mv secrets.part secrets
echo "secrets/ is made"
