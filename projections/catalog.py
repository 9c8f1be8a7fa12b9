"""Every read model there is, and every list that can be asked for by name."""

from collections.abc import Mapping
from typing import Any

from projections.actions import ACTIONS, ACTIONS_VIEW
from projections.activity import ACTIVITY, ACTIVITY_VIEW
from projections.agents import AGENTS, AGENTS_VIEW
from projections.bookmarks import BOOKMARKS, BOOKMARKS_VIEW
from projections.complexity import COMPLEXITY, COMPLEXITY_VIEW
from projections.decisions import DECISIONS, DECISIONS_VIEW
from projections.dependencies import DEPENDENCIES
from projections.documentation import DOCUMENTATION, DOCUMENTATION_VIEW
from projections.estimates import ESTIMATES, ESTIMATES_VIEW
from projections.failures import FAILURES, FAILURES_VIEW
from projections.framework import Projection
from projections.handoffs import HANDOFFS, HANDOFFS_VIEW
from projections.memory import MEMORIES, MEMORIES_VIEW
from projections.patterns import PATTERN_USES, PATTERN_USES_VIEW, PATTERNS, PATTERNS_VIEW
from projections.personas import PERSONAS, PERSONAS_VIEW
from projections.queue import QUEUE, QUEUE_VIEW
from projections.retros import RETROS, RETROS_VIEW
from projections.sessions import DELEGATIONS, DELEGATIONS_VIEW, SESSIONS, SESSIONS_VIEW
from projections.settings import SETTING_HISTORY, SETTING_HISTORY_VIEW, SETTINGS, SETTINGS_VIEW
from projections.spikes import SPIKES, SPIKES_VIEW
from projections.views import View

PROJECTIONS: tuple[Projection[Any], ...] = (
    AGENTS,
    QUEUE,
    DEPENDENCIES,
    HANDOFFS,
    SETTINGS,
    SETTING_HISTORY,
    PERSONAS,
    FAILURES,
    ESTIMATES,
    RETROS,
    BOOKMARKS,
    MEMORIES,
    SPIKES,
    DECISIONS,
    PATTERNS,
    PATTERN_USES,
    COMPLEXITY,
    DOCUMENTATION,
    ACTIONS,
    SESSIONS,
    DELEGATIONS,
    ACTIVITY,
)

VIEWS: Mapping[str, View[Any]] = {
    view.name: view
    for view in (
        AGENTS_VIEW,
        QUEUE_VIEW,
        HANDOFFS_VIEW,
        SETTINGS_VIEW,
        SETTING_HISTORY_VIEW,
        PERSONAS_VIEW,
        FAILURES_VIEW,
        ESTIMATES_VIEW,
        RETROS_VIEW,
        BOOKMARKS_VIEW,
        MEMORIES_VIEW,
        SPIKES_VIEW,
        DECISIONS_VIEW,
        PATTERNS_VIEW,
        PATTERN_USES_VIEW,
        COMPLEXITY_VIEW,
        DOCUMENTATION_VIEW,
        ACTIONS_VIEW,
        SESSIONS_VIEW,
        DELEGATIONS_VIEW,
        ACTIVITY_VIEW,
    )
}
