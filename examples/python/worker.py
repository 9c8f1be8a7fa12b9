"""A worker: takes every task there is. COORD_NATS_URL, COORD_PROJECT and COORD_AGENT tell where."""

import asyncio
import sys

import coord


async def main(idle_s: float | None) -> None:
    async with coord.connect(persona="writing") as me:
        async for task in me.work(idle_s=idle_s):
            async with task:
                task.done(f"{task.title}: done by {me.agent}")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[2]) if "--idle-s" in sys.argv else None))
