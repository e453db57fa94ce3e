"""``mssante account``: who may sign in, and with what."""

import sys
from typing import Annotated, Final

import typer

from mssante.access.passwords import Passwords, PasswordUnusable, draw_password
from mssante.cli.arguments import config_path, read_secret_argument
from mssante.cli.instance import Instance, act, open_instance
from mssante.cli.mailbox import by_address
from mssante.cli.output import CommandFailed, JsonOption, note, show
from mssante.composition.access import argon2_cost
from mssante.directory.model import Account
from mssante.directory.ports import Grant

app: Final = typer.Typer(name="account", help="Accounts and passwords.", no_args_is_help=True)


@app.command()
def password(
    ctx: typer.Context,
    login: str,
    generate: Annotated[
        bool, typer.Option("--generate", help="Draw a password and print it once.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Set a password: asked for at a terminal, else the first line of standard input.

    Sessions that are open stay; every new sign-in needs the new password at once.
    """
    chosen = draw_password() if generate else _asked_password()
    with open_instance(config_path(ctx)) as instance:
        account = by_login(instance, login)
        hashed = hash_password(instance, chosen)
        instance.run(instance.registry.set_password(account.id, hashed, act("account password")))
    if generate:
        show({"login": account.login, "password": chosen}, as_json=json)
    else:
        note(f"the password of {account.login} is changed")


@app.command()
def disable(ctx: typer.Context, login: str) -> None:
    """Let an account sign in no more."""
    _set_enabled(ctx, login, enabled=False)


@app.command()
def enable(ctx: typer.Context, login: str) -> None:
    """Let an account sign in again."""
    _set_enabled(ctx, login, enabled=True)


@app.command()
def grant(
    ctx: typer.Context,
    login: str,
    address: str,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="It may open the mailbox, not send from it.")
    ] = False,
) -> None:
    """Let an account open a mailbox that it does not own (an organisation's)."""
    with open_instance(config_path(ctx)) as instance:
        account = by_login(instance, login)
        mailbox = by_address(instance, read_secret_argument(address))
        granted = Grant(account.id, mailbox.id, may_send=not read_only)
        instance.run(instance.registry.grant(granted, act("account grant")))
    note(f"{account.login} may open the mailbox")


def by_login(instance: Instance, login: str) -> Account:
    """The account with this login or own address.

    Raises:
        CommandFailed: there is none.
    """
    account = instance.run(instance.directory.account_by_login(login))
    if account is None:
        raise CommandFailed("there is no account with this login")
    return account


def hash_password(instance: Instance, chosen: str) -> str:
    """Hash a password at the instance's cost.

    Raises:
        CommandFailed: it cannot serve as a password.
    """
    passwords = Passwords(argon2_cost(instance.settings), threads=1)
    try:
        return passwords.hash_now(chosen)
    except PasswordUnusable as error:
        raise CommandFailed(str(error)) from None
    finally:
        passwords.close()


def _set_enabled(ctx: typer.Context, login: str, *, enabled: bool) -> None:
    command = "account enable" if enabled else "account disable"
    with open_instance(config_path(ctx)) as instance:
        account = by_login(instance, login)
        instance.run(instance.registry.set_enabled(account.id, enabled=enabled, act=act(command)))
    note(f"{account.login} is {'enabled' if enabled else 'disabled'}")


def _asked_password() -> str:
    """Never an argument: those stand in the process list and in the shell's history."""
    if sys.stdin.isatty():
        typed: str = typer.prompt("New password", hide_input=True, confirmation_prompt=True)
        return typed
    return sys.stdin.readline(4096).rstrip("\r\n")
