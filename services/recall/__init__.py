"""What was learned, found again: texts of events, searched by meaning and by words.

`sources` names the events that are searched. `indexing` keeps their texts and, with `vectors`, their meaning
as an `embedder` sees it, in tables that can be made anew from the log at any time. `searching` answers,
`door` carries that over NATS, `asking` is for those who ask. `summaries` makes one of an ended agent's notes.
"""
