"""The entry of the `dispatcher` command and of `python -m dispatcher`.

`agent` and `cli` are common names, and users run the command in folders which hold their own
`agent.py` and `cli.py`, or have such files on PYTHONPATH. So ours are never looked up on
`sys.path`: they are loaded from the folder which holds the `dispatcher` package that runs now,
before anything else can import them. A user's flow runs in a process of its own, which does not
come through here and finds the user's modules.

Nothing else belongs here: options, errors and exit codes are in `cli/main.py`.
"""

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

_OURS = ("agent", "cli")


def claim_own_packages() -> None:
    """Put our `agent` and `cli` packages into `sys.modules`, whatever `sys.path` says.

    Submodules follow by themselves: they are found through the package's own `__path__`.
    """
    root = str(Path(__file__).resolve().parent.parent)
    for name in _OURS:
        spec = PathFinder.find_spec(name, [root])
        if spec is None or spec.loader is None or not spec.submodule_search_locations:
            raise ImportError(f"the package {name!r} is missing beside dispatcher in {root}: install again")
        loaded = sys.modules.get(name)
        if loaded is not None and loaded.__spec__ is not None and loaded.__spec__.origin == spec.origin:
            continue
        for stranger in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
            del sys.modules[stranger]
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)


def main() -> None:
    """Run the command line; ends with SystemExit."""
    claim_own_packages()
    import_module("cli.main").main()


if __name__ == "__main__":
    main()
