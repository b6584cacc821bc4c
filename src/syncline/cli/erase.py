"""`syncline erase`: a person erased here and in the CRMs, the receipts of it, and who is kept out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from syncline.actions import receipts
from syncline.actions.erase import Preview, Wanted, carry_out, erase_person, preview_erasure
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.paging import read_id
from syncline.actions.receipts import Receipt, ReceiptPage
from syncline.cli.exit_codes import CALLER
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago, show_number
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.clock import now
from syncline.config import Settings
from syncline.errors import Invalid

group = typer.Typer(no_args_is_help=True)

Who = Annotated[
    str, typer.Argument(metavar="WHO", help="An address, a contact's id, or connection:object:id.")
]
Known = Annotated[str, typer.Argument(metavar="WHO", help="An address or a telephone number.")]
ErasureId = Annotated[str, typer.Argument(metavar="ID", help="The erasure's id.")]
Connections = Annotated[
    list[str] | None,
    typer.Option("--connection", metavar="C", help="Only this CRM; may be given again."),
]


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """Erase a person on demand: here, in the CRMs that allow it, and for good."""


@group.command("person")
def person_command(
    who: Who,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and nothing else.")] = False,
    only_here: Annotated[bool, typer.Option("--only-here", help="Leave the CRMs alone.")] = False,
    connections: Connections = None,
    confirm: Annotated[
        str | None,
        typer.Option("--confirm", metavar="ADDRESS", help="Do not ask: this is the address to type."),
    ] = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Erase a person, after showing what would be removed where and what cannot be.

    It cannot be taken back. What a CRM does not do at once is tried again by the worker.
    """
    if only_here and connections:
        raise Invalid("--only-here and --connection exclude each other. Choose one.")

    async def look(settings: Settings) -> Preview:
        async with open_hub(settings, tenant=tenant) as hub:
            return await preview_erasure(hub, who)

    if dry_run or confirm is None:
        preview = run(look)
        if as_json:
            print_json(preview)
        else:
            _show_preview(preview)
        if dry_run:
            return
        if as_json:
            raise Invalid("--json asks nothing: confirm with --confirm ADDRESS, or look with --dry-run.")
        confirm = typer.prompt(f"This cannot be undone. To erase, type {preview.confirm}")
    wanted = Wanted(who, confirm or "", only_here, connections)

    async def erase(settings: Settings) -> Receipt:
        async with open_hub(settings, tenant=tenant) as hub:
            erasure_id = await erase_person(hub, operator(hub), wanted)
            await carry_out(hub, erasure_id)
            return await receipts.get_receipt(hub, erasure_id)

    _tell(run(erase), as_json=as_json)


@group.command("list")
def list_command(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 50,
    after: Annotated[str | None, typer.Option("--after", help="Go on where a page before ended.")] = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """List erasures, the latest first. None of it says who that was."""

    async def look(settings: Settings) -> ReceiptPage:
        async with open_hub(settings, tenant=tenant) as hub:
            return await receipts.list_receipts(hub, limit=limit, after=after)

    page = run(look)
    if as_json:
        print_json({"erasures": [each.describe() for each in page.receipts], "next": page.next})
        return
    _show_list(page.receipts)
    if page.next is not None:
        open_console().print(f"There are more: --after {page.next}", markup=False)


@group.command("show")
def show_command(
    erasure: ErasureId,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="F", help="Write the receipt into this file.")
    ] = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Show a receipt: what went, and what each CRM said."""

    async def look(settings: Settings) -> Receipt:
        async with open_hub(settings, tenant=tenant) as hub:
            return await receipts.get_receipt(hub, read_id(erasure, "erasure"))

    receipt = run(look)
    if out is not None:
        _write(out, receipt)
        return
    _tell(receipt, as_json=as_json, quiet=True)


@group.command("find")
def find_command(who: Known, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Find the receipts of a person by their address or number: proof that they were erased."""

    async def look(settings: Settings) -> list[Receipt]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await receipts.find_receipts(hub, who)

    found = run(look)
    if as_json:
        print_json([each.describe() for each in found])
        return
    _show_list(found)


@group.command("retry")
def retry_command(
    erasure: ErasureId,
    connections: Connections = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Ask CRMs that wait for a person's word, or that refused; and go on with what is left here."""
    _tell(run(lambda settings: _decide(settings, tenant, erasure, connections, ask=True)), as_json=as_json)


@group.command("leave")
def leave_command(
    erasure: ErasureId,
    connections: Connections = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Leave a person in CRMs that wait for a person's word, or that refused."""
    _tell(run(lambda settings: _decide(settings, tenant, erasure, connections, ask=False)), as_json=as_json)


@group.command("allow")
def allow_command(who: Known, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Let a person in again whose consent has returned. Brings nothing back by itself."""

    async def act(settings: Settings) -> list[UUID]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await receipts.lift(hub, operator(hub), who)

    lifted = run(act)
    open_console().print(
        f"They are kept out no longer ({len(lifted)} erasures). What a CRM has of them comes with its next "
        "change, or with `syncline sync --full`."
    )


@group.command("follow")
def follow_command(
    name: Annotated[str, typer.Argument(metavar="CONNECTION", help="The connection.")],
    following: Annotated[str, typer.Argument(help="everywhere, review or here.")],
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Set what a CRM is asked when somebody was erased in another one.

    everywhere: to erase them as well; review: a person is asked; here: nothing, they stay in this CRM.
    """

    async def act(settings: Settings) -> str:
        async with open_hub(settings, tenant=tenant) as hub:
            return await receipts.set_following(hub, operator(hub), name, following)

    open_console().print(f"{name}: {run(act)}")


async def _decide(
    settings: Settings, tenant: str, erasure: str, connections: list[str] | None, *, ask: bool
) -> Receipt:
    async with open_hub(settings, tenant=tenant) as hub:
        erasure_id = read_id(erasure, "erasure")
        await receipts.decide(hub, operator(hub), erasure_id, ask=ask, connections=connections)
        await carry_out(hub, erasure_id)
        return await receipts.get_receipt(hub, erasure_id)


def _show_preview(preview: Preview) -> None:
    console = open_console()
    known = ", ".join([*preview.emails, *preview.phones]) or "nothing"
    console.print(
        f"{preview.label or 'Nobody by name'}: {len(preview.contact_ids)} contacts here, known by {known}.",
        markup=False,
    )
    table = make_table("here", "goes or is blanked", "mentions", right=("goes or is blanked", "mentions"))
    for each in preview.here:
        mentions = "not counted" if each.mentions is None else show_number(each.mentions)
        add_row(table, (each.table, show_number(each.own), mentions))
    console.print(table)
    for crm in preview.there:
        records = ", ".join(f"{count:,} {name}" for name, count in crm.records.items())
        what = "is asked to erase" if crm.can_erase else "cannot be asked to erase"
        console.print(f"{crm.connection} ({crm.platform}) {what} {records}.", markup=False)
    console.print("What stays:")
    for sentence in preview.remains:
        console.print(f"- {sentence}", markup=False)


def _show_list(found: list[Receipt]) -> None:
    console = open_console()
    if not found:
        console.print("There is no such erasure.")
        return
    table = make_table("id", "asked for", "by", "state", "rows", "CRMs", right=("rows",))
    at = now()
    for each in found:
        states = ", ".join(sorted({f"{row.connection} {row.state}" for row in each.there})) or "none"
        rows = show_number(sum(each.erasure.removed.values()))
        erasure = each.erasure
        add_row(
            table,
            (
                erasure.id,
                show_ago(erasure.requested_at, at),
                erasure.requested_by,
                erasure.state,
                rows,
                states,
            ),
        )
    console.print(table)


def _tell(receipt: Receipt, *, as_json: bool, quiet: bool = False) -> None:
    if as_json:
        print_json(receipt.describe())
    else:
        _show_receipt(receipt)
    refused = [each for each in receipt.there if each.state == "refused"]
    if refused and not quiet:
        raise typer.Exit(CALLER)


def _show_receipt(receipt: Receipt) -> None:
    console = open_console()
    erasure = receipt.erasure
    console.print(
        f"Erasure {erasure.id}, asked for by {erasure.requested_by}: {erasure.state}.", markup=False
    )
    if erasure.problem:
        console.print(f"It waits: {erasure.problem}", markup=False)
    table = make_table("table", "rows", right=("rows",))
    for name, rows in sorted(erasure.removed.items()):
        add_row(table, (name, show_number(rows)))
    console.print(table)
    for each in receipt.there:
        which = f" {each.remote_id}" if each.remote_id else ""
        why = f": {each.reason}" if each.reason else ""
        console.print(f"{each.connection} {each.object}{which} {each.state}{why}", markup=False)


def _write(file: Path, receipt: Receipt) -> None:
    try:
        file.write_bytes(receipt.document())
    except OSError as error:
        raise Invalid(f"{file} cannot be written ({error.strerror}). Name another place.") from error
    open_console().print(f"{file}: the receipt; it says of nobody who they were.", markup=False)
