"""What routes of the monitor ask for."""

from typing import Annotated

from fastapi import Depends, Request

from sentops_monitor.watch import Watch


def _watch(request: Request) -> Watch:
    watch: Watch = request.state.watch
    return watch


WatchDep = Annotated[Watch, Depends(_watch)]
