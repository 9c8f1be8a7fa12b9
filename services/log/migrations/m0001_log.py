"""The log: its table, its indexes, and the functions that save round trips.

A database of before there were migrations has all this: there, nothing of it changes anything.
"""

from services.log.migrations.migration import Migration

LOG = Migration(
    number=1,
    name="log",
    statements=(
        "CREATE SCHEMA IF NOT EXISTS coord",
        """
        CREATE TABLE IF NOT EXISTS coord.events (
            originator_id text NOT NULL,
            originator_version bigint NOT NULL,
            topic text NOT NULL,
            state bytea NOT NULL,
            notification_id bigserial NOT NULL,
            PRIMARY KEY (originator_id, originator_version)
        )
        """,
        "CREATE UNIQUE INDEX IF NOT EXISTS events_notification_id_idx ON coord.events (notification_id)",
        """
        CREATE OR REPLACE FUNCTION coord.append_events(
            projects text[], sequences bigint[], topics text[], states bytea[]
        ) RETURNS bigint[] LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
        DECLARE
            positions bigint[];
        BEGIN
            LOCK TABLE coord.events IN EXCLUSIVE MODE;
            WITH inserted AS (
                INSERT INTO coord.events (originator_id, originator_version, topic, state)
                SELECT * FROM unnest(projects, sequences, topics, states)
                RETURNING notification_id
            )
            SELECT array_agg(notification_id) INTO positions FROM inserted;
            PERFORM pg_notify('coord_events', positions[cardinality(positions)]::text);
            RETURN positions;
        END
        $$
        """,
        """
        CREATE INDEX IF NOT EXISTS events_turns_idx ON coord.events (originator_id, originator_version)
        WHERE topic IN ('project.forked@1', 'project.restored@1')
        """,
        """
        CREATE OR REPLACE FUNCTION coord.last_sequence(
            stream text, first bigint, last bigint, until_position bigint
        ) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
        DECLARE
            found bigint := 0;
            middle bigint;
            place record;
        BEGIN
            last := (
                SELECT max(originator_version) FROM coord.events
                WHERE originator_id = stream AND originator_version <= last
            );
            WHILE first <= last LOOP
                middle := first + (last - first) / 2;
                SELECT originator_version AS sequence, notification_id AS position INTO place
                FROM coord.events
                WHERE originator_id = stream AND originator_version >= middle
                ORDER BY originator_version LIMIT 1;  -- a damaged log may have a gap here
                IF place.position <= until_position THEN
                    found := place.sequence;
                    first := place.sequence + 1;
                ELSE
                    last := middle - 1;
                END IF;
            END LOOP;
            RETURN found;
        END
        $$
        """,
    ),
)
