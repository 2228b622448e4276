"""`vitrin member` and `vitrin invitation`: the people of a brand."""

from enum import StrEnum
from typing import Annotated

import typer

from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

members = typer.Typer(help="People of the brand.", no_args_is_help=True)
invitations = typer.Typer(help="Invitations to the brand.", no_args_is_help=True)

MEMBER_COLUMNS = {
    "id": "id",
    "name": "name",
    "email": "e-mail",
    "role": "role",
    "joined_at": "joined",
    "removed_at": "left",
}
INVITATION_COLUMNS = {
    "id": "id",
    "email": "e-mail",
    "role": "role",
    "outcome": "state",
    "created_by": "by",
    "expires_at": "until",
}
MemberId = Annotated[str, typer.Argument(help="Id of the person, as `vitrin member list` shows it.")]


class Role(StrEnum):
    OWNER = "owner"
    EDITOR = "editor"
    APPROVER = "approver"
    BILLING = "billing"
    VIEWER = "viewer"


def register(app: typer.Typer) -> None:
    app.add_typer(members, name="member")
    app.add_typer(invitations, name="invitation")


@members.command("list")
def list_members(key: Key = None, as_json: AsJson = False) -> None:
    """Everybody, also those who have left."""
    _list("/v1/members", MEMBER_COLUMNS, key=key, as_json=as_json)


@members.command()
def role(
    member_id: MemberId,
    new: Annotated[Role, typer.Argument(help="The role from now on.")],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Change the role of a person; the person's own keys follow within a second."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        answer = accounts.call("PATCH", f"/v1/members/{member_id}", json={"role": new.value})
    if as_json:
        output.json(answer)
    else:
        output.note(f"{answer['name'] or member_id} is {new.value} now")


@members.command()
def remove(
    member_id: MemberId,
    *,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="In every brand that you own, with a key of your own.")
    ] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Remove a person: all the person's own keys stop within a second."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        query = {"everywhere": str(everywhere).lower()}
        answer = accounts.call("DELETE", f"/v1/members/{member_id}", params=query)
    if as_json:
        output.json(answer)
        return
    for one in answer["data"]:
        if one["refused"]:
            output.note(
                f"still in brand {one['brand_id']}: {one['refused']['detail']} {one['refused']['fix']}"
            )
            continue
        output.note(f"left brand {one['brand_id']}; {one['keys_revoked']} own keys revoked")
        if one["keys_made"]:
            output.note("The person has seen these keys, which still work. `vitrin key rotate` them:")
            output.table(one["keys_made"], columns={"id": "id", "name": "name", "role": "role"})


@invitations.command("create")
def create_invitation(
    *,
    email: Annotated[str, typer.Argument(help="Whom it is for.")],
    new: Annotated[Role, typer.Option("--role", help="What the person may do.")] = Role.VIEWER,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Invite a person. The token is shown once; hand it over yourself."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        answer = accounts.post("/v1/invitations", {"email": email, "role": new.value})
    if as_json:
        output.json(answer)
    else:
        output.record(answer)
        output.note(
            "The token is shown this once. The person runs: vitrin invitation accept <token> --name ..."
        )


@invitations.command("list")
def list_invitations(key: Key = None, as_json: AsJson = False) -> None:
    """Open ones, and those that ended within the last 30 days."""
    _list("/v1/invitations", INVITATION_COLUMNS, key=key, as_json=as_json)


@invitations.command("revoke")
def revoke_invitation(
    invitation_id: Annotated[str, typer.Argument(help="As `vitrin invitation list` shows it.")],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw an invitation that was not accepted yet."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        answer = accounts.call("DELETE", f"/v1/invitations/{invitation_id}")
    if as_json:
        output.json(answer)
    else:
        output.note(f"revoked {invitation_id}")


@invitations.command("accept")
def accept_invitation(
    *,
    token: Annotated[str, typer.Argument(help="vi_...; - reads it from the standard input.")],
    name: Annotated[str, typer.Option(help="Your name.")],
    own_key: Annotated[
        str | None,
        typer.Option(
            "--own-key", help="Your own key in another brand of the organisation: be the same person."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Accept an invitation; answers with a key of your own, which is shown once."""
    from vitrin.cli.client import ServiceClient

    output = Output(as_json=as_json)
    given = typer.get_text_stream("stdin").read().strip() if token == "-" else token  # noqa: S105
    with ServiceClient("accounts", token=own_key) as accounts:
        answer = accounts.post("/v1/invitations:accept", {"token": given, "name": name})
    if as_json:
        output.json(answer)
    else:
        output.record(answer["member"], keys=("id", "name", "email", "role"))
        output.record(answer["key"], keys=("id", "role", "key"))
        output.note("The key is shown this once: keep it now.")


def _list(path: str, columns: dict[str, str], *, key: str | None, as_json: bool) -> None:
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        rows = list(accounts.pages(path))
    output.table(rows, columns=columns)
    if as_json:
        output.json({"data": rows})
