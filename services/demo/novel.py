"""What the demo's fleet works on: a novel's plan, who works on it, and what goes wrong on the way. Data."""

from typing import Any, NamedTuple

PROJECT = "novel"
MAX_AGENTS = 12


class Piece(NamedTuple):
    """A task of the plan; `after` names those it depends on."""

    id: str
    persona: str
    title: str
    after: str = ""


class Member(NamedTuple):
    """An agent of the fleet."""

    name: str
    persona: str


PLAN = (
    Piece("plan.brief", "planner", "Say in one page what The Salt Cartographer is about"),
    Piece("plan.milestones", "planner", "Set the milestones of the three acts", "plan.brief"),
    Piece("research.tides", "research", "Find out how spring tides reshape a delta", "plan.brief"),
    Piece("research.maps", "research", "Find out how coasts were surveyed before clocks", "plan.brief"),
    Piece("research.salt", "research", "Find out what salt cost and who taxed it", "plan.brief"),
    Piece("world.rules", "world_building", "Set the rules of the moving islands", "research.tides"),
    Piece("world.seasons", "world_building", "Describe the year by its tides", "world.rules"),
    Piece("world.economy", "world_building", "Make salt the money of the delta", "world.rules research.salt"),
    Piece("culture.guilds", "culture", "Give the guild of cartographers its rites", "world.economy"),
    Piece("culture.islanders", "culture", "Give the islanders their manners", "world.seasons"),
    Piece("culture.names", "culture", "Decide how people are named", "culture.islanders"),
    Piece("lore.drowning", "lore", "Tell the myth of the drowned coast", "world.rules"),
    Piece("lore.founders", "lore", "Tell who drew the first map, and for whom", "lore.drowning"),
    Piece("lore.prophecy", "lore", "Word the prophecy that everyone misreads", "lore.founders"),
    Piece(
        "map.archipelago", "map", "Draw the archipelago at low and high water", "world.rules research.maps"
    ),
    Piece("map.city", "map", "Draw the city and its harbour", "map.archipelago"),
    Piece(
        "map.routes", "map", "Lay out the salt routes with days of travel", "map.archipelago world.economy"
    ),
    Piece("location.harbour", "location", "Describe the harbour", "map.city"),
    Piece("location.archive", "location", "Describe the archive of maps", "map.city"),
    Piece("location.flats", "location", "Describe the salt flats at dawn", "map.archipelago"),
    Piece("location.lighthouse", "location", "Describe the lighthouse on the moving rock", "map.routes"),
    Piece("character.ines", "character", "Say what Ines wants and what she hides", "plan.brief"),
    Piece("character.tomas", "character", "Say why Tomas stays silent", "plan.brief"),
    Piece("character.warden", "character", "Give the warden a reason to be cruel", "lore.founders"),
    Piece("character.voices", "character", "Give each of them a voice", "character.ines character.tomas"),
    Piece("plot.premise", "plot", "Turn the brief into a premise", "plan.milestones character.ines"),
    Piece("plot.act1", "plot", "Outline act one", "plot.premise lore.drowning"),
    Piece("plot.act2", "plot", "Outline act two", "plot.act1 character.warden"),
    Piece("plot.act3", "plot", "Outline act three", "plot.act2 lore.prophecy"),
    Piece("plot.subplots", "plot", "Tie the subplots to the main line", "plot.act2"),
    Piece("timeline.backstory", "timeline", "Date what happened before page one", "lore.founders"),
    Piece("timeline.voyage", "timeline", "Date the voyage day by day", "plot.act1 map.routes"),
    Piece("timeline.ending", "timeline", "Check that the ending fits the tides", "plot.act3"),
    Piece("draft.ch01", "writing", "Draft chapter 1: The map that was wrong", "plot.act1 location.harbour"),
    Piece("draft.ch02", "writing", "Draft chapter 2: Low water", "plot.act1 location.flats"),
    Piece("draft.ch03", "writing", "Draft chapter 3: The archive", "plot.act1 location.archive"),
    Piece("draft.ch04", "writing", "Draft chapter 4: A name for sale", "plot.act1 culture.names"),
    Piece("draft.ch05", "writing", "Draft chapter 5: The rock moves", "plot.act2 location.lighthouse"),
    Piece("draft.ch06", "writing", "Draft chapter 6: The trial", "plot.act2 culture.guilds"),
    Piece("draft.ch07", "writing", "Draft chapter 7: What Tomas said", "plot.act2 lore.prophecy"),
    Piece("draft.ch08", "writing", "Draft chapter 8: Nine days of salt", "plot.act2 timeline.voyage"),
    Piece("draft.ch09", "writing", "Draft chapter 9: The second coast", "plot.act3 draft.ch05"),
    Piece("draft.ch10", "writing", "Draft chapter 10: The confession", "plot.act3 draft.ch07"),
    Piece("draft.ch11", "writing", "Draft chapter 11: Spring tide", "plot.act3 draft.ch08"),
    Piece("draft.ch12", "writing", "Draft chapter 12: An honest map", "plot.act3 plot.subplots"),
    Piece("dialogue.quarrel", "dialogue", "Sharpen the quarrel on the quay", "draft.ch02 character.voices"),
    Piece("dialogue.trial", "dialogue", "Write what is said at the trial", "draft.ch06 draft.ch07"),
    Piece("dialogue.confession", "dialogue", "Leave the right things unsaid", "draft.ch10"),
    Piece("dialogue.farewell", "dialogue", "Write the farewell in six lines", "draft.ch12"),
    Piece(
        "check.world", "consistency", "Check act one against the world's rules", "draft.ch04 world.seasons"
    ),
    Piece("check.maps", "consistency", "Check the voyage against the maps", "draft.ch08 map.routes"),
    Piece("check.whole", "consistency", "Check the whole draft", "draft.ch09 draft.ch11 timeline.ending"),
    Piece("edit.act1", "editing", "Edit act one", "draft.ch01 draft.ch03 dialogue.quarrel check.world"),
    Piece("edit.act2", "editing", "Edit act two", "dialogue.trial check.maps"),
    Piece("edit.act3", "editing", "Edit act three", "dialogue.confession dialogue.farewell check.whole"),
    Piece("edit.line", "editing", "Edit line by line", "edit.act1 edit.act2 edit.act3"),
    Piece("read.act1", "feedback", "Read act one as a stranger would", "edit.act1"),
    Piece("read.act2", "feedback", "Read act two as a stranger would", "edit.act2"),
    Piece("read.whole", "feedback", "Read it all in one evening", "edit.line"),
    Piece("version.first", "versioning", "Name and keep the first draft", "draft.ch12 draft.ch11"),
    Piece("version.second", "versioning", "Name and keep the second draft", "edit.act3"),
    Piece("version.final", "versioning", "Name and keep the final text", "edit.line"),
    Piece("measure.pace", "analytics", "Measure the pace of act one", "edit.act1"),
    Piece("measure.voices", "analytics", "Measure who speaks how much", "dialogue.farewell"),
    Piece("measure.style", "analytics", "Measure how easily it reads", "edit.line"),
    Piece("publish.synopsis", "publishing", "Write the synopsis", "plot.act3"),
    Piece("publish.cover", "publishing", "Brief the cover", "map.archipelago character.voices"),
    Piece("publish.metadata", "publishing", "Write the metadata", "version.final measure.style"),
    Piece("publish.book", "publishing", "Make the book", "publish.metadata read.whole"),
    Piece("fleet.start", "coordination", "See that everyone has what they need", "plan.brief"),
    Piece("fleet.middle", "coordination", "Look where work waits, and for whom", "plot.act2"),
    Piece("fleet.end", "coordination", "Look back on the whole", "publish.book"),
)

SLOTS = (
    (Member("petra", "planner"), Member("felix", "feedback")),
    (Member("rosa", "research"), Member("edda", "editing")),
    (Member("wanda", "world_building"), Member("ben", "writing")),
    (Member("kofi", "culture"), Member("vera", "versioning")),
    (Member("lars", "lore"), Member("dina", "dialogue")),
    (Member("mona", "map"), Member("cleo", "consistency")),
    (Member("leo", "location"), Member("anna", "analytics")),
    (Member("carla", "character"), Member("paul", "publishing")),
    (Member("pavel", "plot"),),
    (Member("tilda", "timeline"),),
    (Member("ada", "writing"), Member("aron", "writing")),
    (Member("cora", "coordination"),),
)
"""Twelve agents at a time: when one has no work left, the next of its slot comes in its place."""

DOOMED = "draft.ch02"
"""Whoever works on this first is killed."""

FAILS_ONCE = "location.archive"
MISTAKE = "The archive has a north door here and none on the map of the city."
FAILURE: dict[str, Any] = {
    "feature": "Describe the archive of maps",
    "approach": "Described the rooms from memory of the brief.",
    "why": "The doors contradicted the map of the city.",
    "lesson": "Read the map of a place before describing it.",
    "task": FAILS_ONCE,
}

HANDOFFS: dict[str, dict[str, Any]] = {
    "plot.act2": {
        "to_persona": "timeline",
        "reason": "Act two hangs on dates, and those are yours.",
        "context": {
            "goal": "An outline of act two that the tides allow.",
            "done": ["The trial and the voyage are outlined."],
            "ruled_out": ["A night landing: there is no water in the channel then."],
            "decisions": ["The rock moves before the trial, not after it."],
            "artifacts": ["outline/act2.md"],
            "next_step": "Put a date on every scene from the trial on.",
        },
    },
    "draft.ch07": {
        "to_agent": "dina",
        "reason": "The chapter is one long conversation.",
        "context": {
            "goal": "Chapter 7, told in what Tomas says.",
            "done": ["The first page and the last line stand."],
            "decisions": ["Tomas never names the warden."],
            "artifacts": ["draft/ch07.md"],
            "next_step": "Write the middle, from the knock at the door.",
            "data": {"words": 640},
        },
    },
}
"""The tasks that whoever claims them hands over when half way through."""

ESTIMATES: tuple[dict[str, Any], ...] = (
    {"feature": "The world and its lore", "sessions": 6, "complexity": 5, "persona": "world_building"},
    {"feature": "Twelve chapters", "sessions": 12, "complexity": 8, "persona": "writing"},
    {"feature": "From draft to book", "sessions": 7, "complexity": 6, "persona": "publishing"},
)
ACTUAL_SESSIONS = (6.0, 15.0, 7.5)

RETROSPECTIVE: dict[str, Any] = {
    "feature": "The Salt Cartographer",
    "surprises": "A writer vanished over chapter 2, and nobody had to notice.",
    "would_change": "Draw the city before anybody describes a room in it.",
    "new_patterns": "Hand a chapter over with its first page and its last line.",
    "spike_accuracy": 80,
}
