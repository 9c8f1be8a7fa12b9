"""A server of the official SDK for each profile: the one place where our tools meet the protocol.

It speaks both protocols, 2025-11-25 and 2026-07-28, as the SDK does. Loading it takes a moment, so whoever
may not need it imports it late.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Any
from weakref import WeakKeyDictionary

import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from domain.errors import CoordError
from services.mcp import resources
from services.mcp.desk import Desk
from services.mcp.profiles import PROFILES, Profile, Prompt
from services.mcp.tool import Reply, Tool, refusal
from services.mcp.watching import Watcher

NAME = "coordctl"
Ctx = ServerRequestContext[Any]
DeskOf = Callable[[Ctx], Desk]
Lifespan = Callable[[Server[Any]], AbstractAsyncContextManager[Any]]

JSON = "application/json"


def server_of(profile: str, desk_of: DeskOf, lifespan: Lifespan | None = None) -> Server[Any]:
    """The server of a profile; `desk_of` finds the session that a request belongs to."""
    door = _Door(PROFILES[profile], desk_of)
    return Server(
        NAME,
        version=version("coordctl"),
        title="coordctl",
        instructions=door.profile.instructions,
        lifespan=lifespan or _nothing,
        get_tool_input_schema=door.input_schema,
        on_list_tools=door.list_tools,
        on_call_tool=door.call_tool,
        on_list_resources=door.list_resources,
        on_list_resource_templates=door.list_templates,
        on_read_resource=door.read_resource,
        on_subscribe_resource=door.subscribe,
        on_unsubscribe_resource=door.unsubscribe,
        on_subscriptions_listen=door.listen,
        on_list_prompts=door.list_prompts,
        on_get_prompt=door.get_prompt,
    )


def server_for(profile: str, desk: Desk) -> Server[Any]:
    """A server with one session, for one client: over stdio, or in a process of its own."""
    return server_of(profile, lambda _: desk)


@asynccontextmanager
async def _nothing(_: Server[Any]) -> AsyncIterator[dict[str, Any]]:
    yield {}


class _Door:
    """What the SDK calls, for one profile."""

    def __init__(self, profile: Profile, desk_of: DeskOf) -> None:
        self.profile = profile
        self._desk_of = desk_of
        self._tools = {tool.name: tool for tool in profile.tools}
        self._watchers: WeakKeyDictionary[Desk, Watcher] = WeakKeyDictionary()

    def input_schema(self, name: str) -> dict[str, Any] | None:
        tool = self._tools.get(name)
        return tool.input_schema() if tool else None

    async def list_tools(self, _: Ctx, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_listed(tool) for tool in self._tools.values()])

    async def call_tool(self, ctx: Ctx, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = self._tools.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {params.name} in this profile.")
        desk = self._desk_of(ctx)
        try:
            await desk.check()
            reply = await tool.run(desk, tool.parse(params.arguments or {}))
        except CoordError as error:
            alert = desk.alert()
            told = refusal(error) | ({"alert": alert} if alert else {})
            return types.CallToolResult(content=[_text(told)], is_error=True)
        return _answered(reply, desk.alert())

    async def list_resources(
        self, ctx: Ctx, _: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """What this session holds; everything else has a URI by the templates."""
        desk = self._desk_of(ctx)
        held = [
            types.Resource(uri=f"coord://task/{each.task}", name=each.title or each.task, mime_type=JSON)
            for each in desk.held.values()
        ]
        return types.ListResourcesResult(resources=held)

    async def list_templates(
        self, _: Ctx, __: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(name=name, uri_template=uri, description=says, mime_type=JSON)
                for name, (uri, says) in resources.TEMPLATES.items()
            ]
        )

    async def read_resource(
        self, ctx: Ctx, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        uri = str(params.uri)
        try:
            text = await resources.read(self._desk_of(ctx), uri)
        except CoordError as error:
            raise MCPError(types.INVALID_PARAMS, str(error), refusal(error)) from error
        content = types.TextResourceContents(uri=uri, mime_type=JSON, text=text)
        return types.ReadResourceResult(contents=[content])

    async def subscribe(self, ctx: Ctx, params: types.SubscribeRequestParams) -> types.EmptyResult:
        await self._watcher(ctx).subscribe(str(params.uri), ctx.session)
        return types.EmptyResult()

    async def unsubscribe(self, ctx: Ctx, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        self._watcher(ctx).unsubscribe(str(params.uri))
        return types.EmptyResult()

    async def listen(
        self, ctx: Ctx, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        return await self._watcher(ctx).listen(ctx, params)

    async def list_prompts(self, _: Ctx, __: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=[_offered(prompt) for prompt in self.profile.prompts])

    async def get_prompt(self, _: Ctx, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        for prompt in self.profile.prompts:
            if prompt.name == params.name:
                given = (params.arguments or {}).get(prompt.argument, "")
                text = types.TextContent(text=prompt.text.format(**{prompt.argument: given}).strip())
                message = types.PromptMessage(role="user", content=text)
                return types.GetPromptResult(description=prompt.says, messages=[message])
        raise MCPError(types.INVALID_PARAMS, f"There is no prompt {params.name} in this profile.")

    def _watcher(self, ctx: Ctx) -> Watcher:
        desk = self._desk_of(ctx)
        if desk not in self._watchers:
            watcher = self._watchers[desk] = Watcher(desk.line)
            desk.at_end(watcher.close)
        return self._watchers[desk]


def _listed(tool: Tool) -> types.Tool:
    """As short as can be: what a client assumes without a hint is left unsaid."""
    return types.Tool(
        name=tool.name,
        description=tool.says,
        input_schema=tool.input_schema(),
        output_schema=tool.output_schema(),
        annotations=_hints(tool),
    )


def _hints(tool: Tool) -> types.ToolAnnotations | None:
    if not tool.changes:
        return types.ToolAnnotations(read_only_hint=True)
    return None if tool.destroys else types.ToolAnnotations(destructive_hint=False)


def _offered(prompt: Prompt) -> types.Prompt:
    argument = types.PromptArgument(name=prompt.argument, description=prompt.argument_says)
    return types.Prompt(name=prompt.name, description=prompt.says, arguments=[argument])


def _answered(reply: Reply, alert: str) -> types.CallToolResult:
    reply.alert = alert
    told = msgspec.to_builtins(reply)
    return types.CallToolResult(content=[_text(told)], structured_content=told)


def _text(told: dict[str, Any]) -> types.TextContent:
    return types.TextContent(text=msgspec.json.encode(told).decode())
