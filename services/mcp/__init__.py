"""The MCP door: coordctl as tools, resources and prompts for models. It translates; no rule lives here.

`desk` is one client's session, `tool` how a tool is declared, `serving` the only part that loads the SDK.
"""
