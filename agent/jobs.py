"""The jobs of runs: the pool's base job template with the values of each run.

A claim says which template the pool has; one that is not known yet is read before the first run that needs it. The
environment variables that a template may read are those that this consumer allows.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection

from agent.patience import Patience
from dispatcher import templates
from dispatcher.models import Claimed, Consumer, PoolTemplate
from dispatcher.ops import templates as pool_templates
from dispatcher.rendering import Rendered


class Jobs:
    """Makes the jobs of one consumer's runs."""

    def __init__(self, me: Consumer, patience: Patience, allowed_env: Collection[str]) -> None:
        self._patience = patience
        self._allowed_env = allowed_env
        self._template = PoolTemplate(me.pool, me.type, "", {})
        self._reading = asyncio.Lock()
        self.template_id = ""  # as the last claim said

    async def job_of(self, run: Claimed) -> Rendered:
        """The job. Raises `VariablesInvalid`, `TemplateInvalid`, `PoolNotFound`."""
        async with self._reading:
            if self._template.id != self.template_id:
                pool = self._template.pool
                self._template = await self._patience.run(lambda: pool_templates.read(pool))
        template = self._template.document(run.input.infrastructure)
        values = run.input.job_variables
        # The template may have changed since the run was submitted.
        templates.check_variables(
            template, values, target=f"the base job template of work pool {self._template.pool!r}"
        )
        return templates.rendered(template, values, environ=os.environ, allowed_env=self._allowed_env)
