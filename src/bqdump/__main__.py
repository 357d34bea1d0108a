"""The entry point. `--version` answers before anything is imported that it does not need."""

from __future__ import annotations

import sys

# Before anything else is imported, Ctrl-C ends the process at once: see bqdump.cli.process, which takes over. What
# Python shows before that, while it starts itself, no program can change.
if (_signal := __import__("_signal")).getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, lambda *_: __import__("os")._exit(130))

import gc

from bqdump.cli.process import end_at_once, end_with, version_line


def main() -> None:
    """Run the command line and exit."""
    end_at_once()
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        try:
            sys.stdout.write(f"{version_line()}\n")
            sys.stdout.flush()
        except OSError as error:
            from bqdump.cli.streams import OutputError, silence, tell

            tell(f"bqdump: {OutputError(error)}")
            silence(sys.stdout)
            sys.exit(1)
        return
    # Imports make many objects and no garbage: looking for it among them costs a tenth of the start. See lean_imports.
    gc.set_threshold(100_000)
    import_msgspec()
    from bqdump.cli.streams import open_streams

    open_streams()
    from bqdump.cli.main import start

    code = start(sys.argv[1:])
    # Only threads remain to be ended, which may take a while.
    end_at_once()
    end_with(code)
    sys.exit(code)


def import_msgspec() -> None:
    """Import msgspec without typing_extensions. It looks there first for what typing has since Python 3.11.

    That takes a hundredth of a task's start. Where msgspec cannot do without, it is imported later.
    """
    modules: dict[str, object] = sys.modules  # type: ignore[assignment]
    if "typing_extensions" in modules:
        return
    modules["typing_extensions"] = None
    try:
        import msgspec  # noqa: F401
    except ImportError:
        pass
    finally:
        del modules["typing_extensions"]


if __name__ == "__main__":
    main()
