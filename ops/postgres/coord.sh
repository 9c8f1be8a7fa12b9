#!/bin/sh
# The login, the database and the extension of coordctl: an owner of one database, and no superuser. Beside that it may
# see what Postgres counts, also of replicas and of other accounts' sessions.
# Run again it sets the password that is now in COORD_PASSWORD_FILE.
set -eu
psql --username=postgres --dbname=postgres --no-psqlrc --quiet --set=ON_ERROR_STOP=1 <<'SQL'
\set password `cat "$COORD_PASSWORD_FILE"`
SELECT 'CREATE ROLE coord LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'coord') \gexec
SELECT 'CREATE ROLE coord_reader NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'coord_reader') \gexec
GRANT coord_reader TO coord;
GRANT pg_read_all_stats TO coord;
ALTER ROLE coord PASSWORD :'password';
SELECT $$CREATE DATABASE coord OWNER coord TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'$$ WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'coord') \gexec
REVOKE CONNECT ON DATABASE coord FROM PUBLIC;
\connect coord
CREATE EXTENSION IF NOT EXISTS vector;
SQL
