"""`status`, `verify` and `gc`: what lies at a URL, whether it holds, and what is too many."""

from typing import Annotated

import typer

from jobs.commands.options import UrlArgument
from jobs.console import out


def status(url: UrlArgument) -> None:
    """Say how far a build is; only reads."""
    from jobs.status import read_status
    from synth.storage import open_storage

    found = read_status(open_storage(url))
    state = "finished" if found.sealed else "not finished"
    out.print(f"{url}: {state}, {found.done} of {found.shards} shards done, plan {found.plan_hash[:12]}")
    out.print(
        f"pictures: {found.kept} kept, {sum(found.rejected.values())} rejected, {found.redrawn} redraws, "
        f"{found.pictures} planned"
    )
    for reason, count in sorted(found.rejected.items()):
        out.print(f"  rejected by {reason}: {count}")
    if found.missing:
        listed = ", ".join(f"{shard:06d}" for shard in found.missing[:10])
        out.print(f"missing: {listed}{' ...' if len(found.missing) > 10 else ''}")


def verify(
    url: UrlArgument,
    drop_damaged: Annotated[
        bool, typer.Option("--drop-damaged", help="drop what is damaged, for build to make again")
    ] = False,
) -> None:
    """Read a dataset again and hold everything against everything; exit code 1 names what is wrong."""
    from jobs.verify import drop_damaged as drop
    from jobs.verify import verify as check
    from synth.storage import open_storage

    storage = open_storage(url)
    verdict = check(storage)
    if verdict.sound:
        out.print("sound", style="green", end="")
        out.print(f": {verdict.pictures} pictures; hashes, counts, labels and certificate hold")
        return
    for fault in verdict.faults:
        out.print(fault, style="red")
    if drop_damaged:
        dropped = drop(storage, verdict)
        what = ["the identities"] * bool(verdict.identities) + [f"shard {shard:06d}" for shard in dropped]
        what = what or ["the manifest"] * bool(verdict.manifest)
        if what:
            out.print(f"dropped: {', '.join(what)}; hypersynth build makes it again")
    raise typer.Exit(1)


def gc(
    url: UrlArgument,
    delete: Annotated[bool, typer.Option("--delete", help="remove them; best while nobody builds there")] = False,
) -> None:
    """List files that no commit names, left by interrupted builds: they cost space and nothing else."""
    from jobs.orphans import find_orphans, remove_orphans
    from jobs.plan import stored_hash
    from jobs.wording import size
    from synth.storage import open_storage

    storage = open_storage(url)
    stored_hash(storage)  # or nothing was built there, and nothing there is ours
    orphans = remove_orphans(storage) if delete else find_orphans(storage)
    for stored in orphans:
        out.print(f"{stored.name}  {stored.size} bytes")
    total = f"{len(orphans)} orphans, {size(sum(stored.size for stored in orphans))}"
    if not orphans:
        out.print("no orphans")
    else:
        out.print(f"removed {total}" if delete else f"{total}; --delete removes them")
