"""A flow that fails at first: `retries` and `retry_delay_seconds` of its deployment bring it through, or not."""

import os


def call_service(failures: int = 1) -> str:
    """Fail as often as `failures` says, then succeed; attempts are counted from 1."""
    attempt = int(os.environ["DISPATCHER_RUN_ATTEMPT"])
    print(f"attempt {attempt}: calling the service")
    if attempt <= failures:
        raise ConnectionError(f"the service did not answer (attempt {attempt})")
    return f"answered at attempt {attempt}"
