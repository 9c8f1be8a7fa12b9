"""Writes the dashboards as Grafana reads them: `python ops/grafana/make.py` after a change here.

What is on them is said in the tables below; Grafana's own words are in the functions. Writes the files beside
it in `dashboards/`, and nothing else.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

SCHEMA_VERSION = 39
"""Pinned: a Grafana of that version or a later one reads it."""

DATASOURCE = {"type": "prometheus", "uid": "coordctl-prometheus"}
DASHBOARDS = Path(__file__).parent / "dashboards"
COLUMNS = 24
HEIGHT = 8
STAT_HEIGHT = 4

Json = dict[str, Any]


class Graph(NamedTuple):
    """A panel with lines; each query with what its lines are called."""

    title: str
    about: str
    unit: str
    queries: Sequence[tuple[str, str]]
    width: int = 8
    stacked: bool = False


class Stat(NamedTuple):
    """A panel with one number: green below the first bound, orange from there, red from the second on."""

    title: str
    about: str
    unit: str
    query: str
    orange: float | None = None
    red: float | None = None


class Board(NamedTuple):
    name: str
    title: str
    about: str
    panels: Sequence[Graph | Stat]
    by_project: bool = False


RATE = "$__rate_interval"
OF = 'project=~"$project"'
EVENTS = "coordctl_events_committed_total"
WRONG = "agent.went_stale|task.(lease_expired|failed|died)|handoff.(rejected|expired)"
LEARNED = "failure.*|retro.*|estimate.*"
ATTEMPTS = "task.(completed|failed|lease_expired)"


def rate(metric: str, by: str, selector: str = "") -> str:
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({metric}{{{selector}}}[{RATE}]))"


def quantile(share: float, metric: str, by: str = "", selector: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', labels, selector)})"


OVERVIEW = Board(
    "overview",
    "coordctl: overview",
    "Whether everything works, and how much there is to do.",
    [
        Stat("Parts that do not work", "Postgres, NATS, writer, relay, projector.", "short",
             "count(coordctl_part_up == 0) or vector(0)", red=1),
        Stat("Alerts", "Those of coordctl that fire now.", "short",
             'count(ALERTS{alertname=~"Coordctl.+",alertstate="firing"}) or vector(0)', orange=1, red=3),
        Stat("Active agents", "In all projects.", "short", 'sum(coordctl_agents{status="active"})'),
        Stat("Queued tasks", "Ready to be taken.", "short",
             'sum(coordctl_tasks{status="queued"}) or vector(0)'),
        Stat("Relay behind", "Age of the oldest event that is not in the stream.", "s",
             'max(coordctl_lag_seconds{of="relay"})', orange=5, red=30),
        Stat("Read models behind", "Age of the oldest event that is not in some read model.", "s",
             'max(coordctl_lag_seconds{of="projector"})', orange=5, red=30),
        Graph("Commands", "Decided in a second, by outcome.", "reqps",
              [(rate("coordctl_commands_total", "outcome"), "{{outcome}}")], stacked=True),
        Graph("Time of commands", "From arrival to answer, without claims, which may wait for work.", "s",
              [(quantile(share, "coordctl_command_seconds", selector='verb!="task.claim"'), label)
               for share, label in ((0.5, "half"), (0.95, "95 of 100"), (0.99, "99 of 100"))]),
        Graph("Events", "Committed in a second.", "ops",
              [(rate(EVENTS, ""), "events")]),
        Graph("Parts", "1 while a part works.", "short", [("coordctl_part_up", "{{part}}")]),
        Graph("Processes", "Those that answer, by service and state.", "short",
              [("coordctl_instances > 0", "{{service}} {{state}}")]),
        Graph("Memory of the services", "Resident.", "bytes",
              [("process_resident_memory_bytes", "{{service}} {{instance}}")]),
        Graph("Processor time of the services", "Processors in use.", "short",
              [(rate("process_cpu_seconds_total", "service"), "{{service}}")]),
        Graph("Requests over HTTP", "By route and status.", "reqps",
              [(rate("coordctl_http_requests_total", "route, status"), "{{route}} {{status}}")]),
        Graph("Time of requests over HTTP", "99 of 100 begin to be answered within.", "s",
              [(quantile(0.99, "coordctl_http_request_seconds", "route"), "{{route}}")]),
    ],
)  # fmt: skip

FLEET = Board(
    "fleet",
    "coordctl: agents and tasks",
    "What the fleet does, and what it waits for.",
    [
        Graph("Agents", "By status.", "short",
              [(f"sum by (status) (coordctl_agents{{{OF}}})", "{{status}}")]),
        Graph("Tasks that are not finished", "By status.", "short",
              [(f'sum by (status) (coordctl_tasks{{{OF},status!~"completed|cancelled"}})', "{{status}}")],
              stacked=True),
        Graph("Handoffs", "By status.", "short",
              [(f"sum by (status) (coordctl_handoffs{{{OF}}})", "{{status}}")]),
        Graph("Oldest task", "Since the task of this status last changed that did so longest ago.", "s",
              [(f"max by (status) (coordctl_tasks_oldest_seconds{{{OF}}})", "{{status}}")]),
        Graph("Oldest handoff", "Since the handoff of this status last changed that did so longest ago.", "s",
              [(f"max by (status) (coordctl_handoffs_oldest_seconds{{{OF}}})", "{{status}}")]),
        Graph("Tasks by project", "Not finished, in the largest projects.", "short",
              [(f'topk(10, sum by (project) (coordctl_tasks{{{OF},status!~"completed|cancelled"}}))',
                "{{project}}")]),
        Graph("What becomes of tasks", "In a second, all projects.", "ops",
              [(rate(EVENTS, "event", 'event=~"task.(claimed|completed|failed|died)"'), "{{event}}")]),
        Graph("What goes wrong", "In a second, all projects.", "ops",
              [(rate(EVENTS, "event", f'event=~"{WRONG}"'), "{{event}}")]),
        Graph("Refusals", "Commands refused in a second, by code.", "ops",
              [(rate("coordctl_commands_total", "outcome", 'outcome!="ok"'), "{{outcome}}")]),
        Graph("Commands", "In a second, by verb.", "ops",
              [(rate("coordctl_commands_total", "verb"), "{{verb}}")], width=12),
        Graph("Claims that wait", "For work that fits.", "short",
              [("sum(coordctl_parked_claims)", "claims")], width=6),
        Graph("Leases that ran out", "In a quarter of an hour.", "short",
              [("sum(increase(coordctl_leases_expired_total[15m]))", "leases")], width=6),
    ],
    by_project=True,
)  # fmt: skip

LOG = Board(
    "log",
    "coordctl: log and lag",
    "From a command to the log, the stream and the read models; and the servers beneath.",
    [
        Stat("Events in the log", "Position of the last one.", "short", "max(coordctl_log_head_position)"),
        Stat("Not in the stream", "Positions the relay is behind.", "short",
             'max(coordctl_lag_events{of="relay"})', orange=1_000, red=100_000),
        Stat("Not in the read models", "Positions the projector is behind.", "short",
             'max(coordctl_lag_events{of="projector"})', orange=1_000, red=100_000),
        Stat("Shards without a writer", "Of sixteen.", "short", "max(coordctl_shards_undecided)", red=1),
        Stat("Disk", "Free under the data directory.", "bytes", "min(coordctl_disk_free_bytes)"),
        Stat("Database", "Its size on disk.", "bytes", 'max(coordctl_postgres_size_bytes{of="database"})'),
        Graph("Lag", "Age of the oldest event that was not handled.", "s",
              [("max by (of, projection) (coordctl_lag_seconds)", "{{of}} {{projection}}")]),
        Graph("Lag in positions", "Behind the log.", "short",
              [("max by (of, projection) (coordctl_lag_events)", "{{of}} {{projection}}")]),
        Graph("Throughput", "Events in a second.", "ops",
              [(rate(EVENTS, ""), "committed"),
               (rate("coordctl_relay_events_published_total", ""), "published"),
               (rate("coordctl_projector_events_folded_total", ""), "folded")]),
        Graph("Commits", "Time of one.", "s",
              [(quantile(share, "coordctl_commit_seconds"), label)
               for share, label in ((0.5, "half"), (0.99, "99 of 100"))]),
        Graph("Batches", "Events in one transaction.", "short",
              [(f"{rate('coordctl_batch_events_sum', '')} / {rate('coordctl_batch_events_count', '')}",
                "on average")]),
        Graph("Waiting in the writers", "Requests to be decided, and claims.", "short",
              [("sum(coordctl_inbox_requests)", "requests"), ("sum(coordctl_parked_claims)", "claims")]),
        Graph("Time to decide", "What had arrived.", "s",
              [(quantile(0.99, "coordctl_decision_seconds"), "99 of 100")]),
        Graph("Time to publish", "A window of events, on average.", "s",
              [(f"{rate('coordctl_relay_publishing_seconds_total', '')}"
                f" / {rate('coordctl_relay_windows_total', '')}", "window")]),
        Graph("Failures", "Commits that failed, and stops of relay and projector, in an hour.", "short",
              [("sum by (code) (increase(coordctl_commits_failed_total[1h]))", "commit: {{code}}"),
               ("sum(increase(coordctl_relay_stops_total[1h]))", "relay"),
               ("sum(increase(coordctl_projector_stops_total[1h]))", "projector")]),
        Graph("Looking back", "Time to tell a list of the past.", "s",
              [(quantile(share, "coordctl_replay_seconds"), label)
               for share, label in ((0.5, "half"), (0.95, "95 of 100"))]),
        Graph("Postgres: connections", "By state, and how many there may be.", "short",
              [("coordctl_postgres_connections", "{{state}}"),
               ("coordctl_postgres_connections_limit", "limit")]),
        Graph("Postgres: work", "Transactions in a second.", "ops",
              [(rate("coordctl_postgres_transactions_total", "outcome"), "{{outcome}}")]),
        Graph("Postgres: written", "Write-ahead log, and what did not fit into memory.", "Bps",
              [(rate("coordctl_postgres_wal_bytes_total", ""), "log"),
               (rate("coordctl_postgres_temporary_bytes_total", ""), "temporary")]),
        Graph("Postgres: sizes", "Of log and read models.", "bytes",
              [("coordctl_postgres_size_bytes", "{{of}}")]),
        Graph("Postgres: found in memory", "Share of the blocks that were looked for.", "percentunit",
              [(f"sum (rate(coordctl_postgres_blocks_total{{found_in=\"memory\"}}[{RATE}]))"
                f" / sum (rate(coordctl_postgres_blocks_total[{RATE}]))", "memory")]),
        Graph("Postgres: waiting", "Locks waited for, and the longest transaction in seconds.", "short",
              [("coordctl_postgres_lock_waits", "locks"),
               ("coordctl_postgres_longest_transaction_seconds", "seconds")]),
        Graph("NATS: messages", "In a second.", "ops",
              [(rate("coordctl_nats_messages_total", "server, direction"), "{{server}} {{direction}}")]),
        Graph("NATS: connections", "Clients.", "short", [("coordctl_nats_connections", "{{server}}")]),
        Graph("NATS: memory", "Of the server.", "bytes", [("coordctl_nats_memory_bytes", "{{server}}")]),
        Graph("Stream", "Size, and what JetStream has on disk in all.", "bytes",
              [("coordctl_stream_bytes", "stream"),
               ("coordctl_jetstream_storage_bytes", "{{server}}")]),
        Graph("JetStream: used", "Share of what a server may keep on disk.", "percentunit",
              [("coordctl_jetstream_storage_bytes / coordctl_jetstream_storage_limit_bytes",
                "{{server}}")]),
    ],
)  # fmt: skip

LEARNING = Board(
    "learning",
    "coordctl: learning",
    "What the fleet wrote down for those who come after.",
    [
        Graph("Failures and retrospectives", "Recorded so far.", "short",
              [(f"sum(coordctl_failures{{{OF}}})", "failures"),
               (f"sum(coordctl_retrospectives{{{OF}}})", "retrospectives")], width=12),
        Graph("Estimates", "Open and closed.", "short",
              [(f"sum by (status) (coordctl_estimates{{{OF}}})", "{{status}}")], width=12),
        Graph("Correction",
              "What work took by what it was estimated to take, over 90 days: 1 is right, 2 twice as long.",
              "short", [(f"coordctl_estimate_correction_ratio{{{OF}}}", "{{project}}")], width=12),
        Graph("Written down", "In an hour, all projects.", "short",
              [(f'sum by (event) (increase({EVENTS}{{event=~"{LEARNED}"}}[1h]))', "{{event}}")], width=12),
        Graph("Done and failed", "Share of the attempts that were completed, in an hour, all projects.",
              "percentunit",
              [(f'sum(increase({EVENTS}{{event="task.completed"}}[1h]))'
                f' / sum(increase({EVENTS}{{event=~"{ATTEMPTS}"}}[1h]))', "completed")], width=24),
    ],
    by_project=True,
)  # fmt: skip

BOARDS = (OVERVIEW, FLEET, LOG, LEARNING)


def dashboard(board: Board) -> Json:
    """The whole dashboard."""
    return {
        "uid": f"coordctl-{board.name}",
        "title": board.title,
        "description": board.about,
        "tags": ["coordctl"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_project()] if board.by_project else []},
        "annotations": {"list": []},
        "links": [
            {"type": "dashboards", "tags": ["coordctl"], "title": "coordctl", "asDropdown": True,
             "includeVars": True, "keepTime": True},
        ],
        "panels": _placed(board.panels),
    }  # fmt: skip


def _project() -> Json:
    return {
        "name": "project", "label": "Project", "type": "query", "datasource": DATASOURCE,
        "query": {"query": "label_values(coordctl_tasks, project)", "refId": "projects"},
        "refresh": 2, "includeAll": True, "allValue": ".*", "multi": True, "sort": 1,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }  # fmt: skip


def _placed(panels: Sequence[Graph | Stat]) -> list[Json]:
    """From left to right, row by row."""
    made: list[Json] = []
    x = y = row_height = 0
    for number, panel in enumerate(panels, 1):
        width, height = (4, STAT_HEIGHT) if isinstance(panel, Stat) else (panel.width, HEIGHT)
        if x + width > COLUMNS or (x and height != row_height):
            x, y = 0, y + row_height
        body = _stat(panel) if isinstance(panel, Stat) else _graph(panel)
        made.append({"id": number, "gridPos": {"x": x, "y": y, "w": width, "h": height}, **body})
        x, row_height = x + width, height
    return made


def _stat(panel: Stat) -> Json:
    bounds: list[Json] = [{"color": "green", "value": None}]
    bounds += [
        {"color": color, "value": value}
        for color, value in (("orange", panel.orange), ("red", panel.red))
        if value is not None
    ]
    return {
        "type": "stat", "title": panel.title, "description": panel.about, "datasource": DATASOURCE,
        "targets": [_target("A", panel.query, panel.title)],
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": bounds}},
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                    "colorMode": "value", "graphMode": "area", "textMode": "auto"},
    }  # fmt: skip


def _graph(panel: Graph) -> Json:
    drawn = {
        "drawStyle": "line", "lineWidth": 1, "fillOpacity": 15, "showPoints": "never",
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
    }  # fmt: skip
    targets = [
        _target(chr(ord("A") + place), query, legend) for place, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "type": "timeseries", "title": panel.title, "description": panel.about, "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": drawn}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                    "tooltip": {"mode": "multi", "sort": "desc"}},
    }  # fmt: skip


def _target(name: str, query: str, legend: str) -> Json:
    return {
        "refId": name, "datasource": DATASOURCE, "expr": query, "legendFormat": legend, "range": True,
    }  # fmt: skip


def rendered() -> dict[str, str]:
    """Every file by its name."""
    return {
        f"{board.name}.json": json.dumps(dashboard(board), indent=2, ensure_ascii=False) + "\n"
        for board in BOARDS
    }


if __name__ == "__main__":
    for name, text in rendered().items():
        (DASHBOARDS / name).write_text(text)
