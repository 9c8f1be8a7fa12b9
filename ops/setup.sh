#!/bin/sh
# Makes what the containers know each other by, where it is missing: an identity for every service, the users that
# nats-server lets in, passwords for Postgres and Grafana. Each goes into the folder of the one that needs it.
# With arguments it is `coordctl access` first, so that whoever is enrolled or revoked is in the list of users.
# Touches COORD_DATA, which holds all of it, and the folders in COORD_KEYS.
set -eu
umask 077

put() { # FILE MODE: what comes in, whole or not at all
    cat > "$1.new"
    chmod "$2" "$1.new"
    mv "$1.new" "$1"
}

password() { # NAME: made once
    [ -s "$COORD_DATA/passwords/$1" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' | put "$COORD_DATA/passwords/$1" 600
}

database() { # how libpq reaches the log
    printf '[coord]\nhost=postgres\ndbname=coord\nuser=coord\npassword='
    cat "$COORD_DATA/passwords/coord"
    echo
}

mkdir -p "$COORD_DATA/passwords"
for name in superuser coord grafana; do password "$name"; done
[ $# -eq 0 ] || coordctl access "$@"

users=$(coordctl access server-config)
printf '%s\n' "$users" | put "$COORD_KEYS/nats/server.json" 600

database | put "$COORD_DATA/database.conf" 600
for service in writer relay projector gateway recall; do
    database | put "$COORD_KEYS/$service/database.conf" 600
    put "$COORD_KEYS/$service/service.nk" 600 < "$COORD_DATA/credentials/service-$service.nk"
done

# Postgres and Grafana run as accounts of their own, which are in the group of these files.
put "$COORD_KEYS/postgres/superuser" 640 < "$COORD_DATA/passwords/superuser"
put "$COORD_KEYS/postgres/coord" 640 < "$COORD_DATA/passwords/coord"
put "$COORD_KEYS/grafana/admin" 640 < "$COORD_DATA/passwords/grafana"
