"""A slow flow, to see a live log, and a cancel: `dispatcher flow-run cancel` stops its process within moments."""

import asyncio


async def count_down(seconds: int = 30) -> None:
    """Flows may be async functions."""
    for left in range(seconds, 0, -1):
        print(f"{left} s to go", flush=True)
        await asyncio.sleep(1)
