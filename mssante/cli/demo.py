"""Fills a demo instance with its synthetic world, through the same registration as the commands."""

import asyncio
import os
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from mssante.access.passwords import Passwords, draw_password
from mssante.cli import demo_world
from mssante.cli.demo_world import DemoPatient, DemoProfessional
from mssante.cli.instance import Instance, act
from mssante.cli.output import progress
from mssante.composition.access import argon2_cost
from mssante.directory.model import Account, Mailbox, MailboxType
from mssante.directory.ports import Act, Grant
from mssante.directory.registration import Credentials, Registration
from mssante.wire.x500 import DistinguishedName

_AT_A_TIME = 256
"""Registrations under way at once: they share commits."""


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """What `demo.json` tells of an account."""

    account: Account
    mailbox: Mailbox | None
    password: str = field(repr=False)
    more: dict[str, object] = field(default_factory=dict)
    client_pair: tuple[Path, Path] | None = None
    """Certificate and key of the person's own client, that the server does not hold."""

    def described(self) -> dict[str, object]:
        """The entry of `demo.json`; where `smime` is null the server seals."""
        mailbox = self.mailbox
        names = ("certificate", "key")
        pair = self.client_pair
        return {
            "role": self.account.role.value,
            "mailboxType": mailbox.type.value if mailbox else None,
            "name": self.account.display_name,
            "address": str(mailbox.address) if mailbox else None,
            "login": self.account.login,
            "password": self.password,
            **self.more,
            "smime": dict(zip(names, map(str, pair), strict=True)) if pair else None,
        }


@dataclass(frozen=True, slots=True)
class RemoteOperator:
    """Another operator that a client may play."""

    domain: str
    certificate: Path
    key: Path
    listed: bool
    name: DistinguishedName
    """In its certificate."""
    port: int
    """Where mail for a listed one goes, on this machine, if somebody plays it there."""

    def described(self) -> dict[str, object]:
        """The entry of `demo.json`."""
        return {
            "domain": self.domain,
            "client_certificate": str(self.certificate),
            "client_key": str(self.key),
            "listed": self.listed,
            "port": self.port if self.listed else None,
        }


def populate(instance: Instance, more_accounts: int) -> list[DemoAccount]:
    """Create the demo's people, and `more_accounts` professionals and patients beside them."""
    passwords = Passwords(
        argon2_cost(instance.settings), threads=os.cpu_count() or 1, max_waiting=2 * _AT_A_TIME
    )
    try:
        with progress() as bar:
            task = bar.add_task("accounts", total=2 * more_accounts + 10)
            world = _World(instance, passwords, bar, task)
            return instance.run(world.create(more_accounts))
    finally:
        passwords.close()


class _World:
    """One population under way."""

    def __init__(
        self, instance: Instance, passwords: Passwords, bar: Progress, task: TaskID
    ) -> None:
        self._registration: Registration = instance.registration
        self._registry = instance.registry
        self._domain = instance.settings.operator.domain
        self._passwords = passwords
        self._bar = bar
        self._task = task
        self._act: Act = act("init --demo")

    async def create(self, more_accounts: int) -> list[DemoAccount]:
        """All accounts, in the order of `demo.json`."""
        accounts = [await self._administrator()]
        professionals = [await self._professional(each) for each in demo_world.PROFESSIONALS]
        accounts += professionals
        accounts.append(await self._organisation(professionals[:2]))
        accounts.append(await self._application())
        accounts += [await self._patient(each) for each in demo_world.PATIENTS]
        load_professionals = demo_world.load_professionals(more_accounts)
        accounts += await self._many([(self._professional, each) for each in load_professionals])
        load_patients = demo_world.load_patients(more_accounts)
        accounts += await self._many([(self._patient, each) for each in load_patients])
        return accounts

    async def _many(
        self, work: list[tuple[Callable[[Any], Coroutine[Any, Any, DemoAccount]], Any]]
    ) -> list[DemoAccount]:
        created: list[DemoAccount] = []
        for start in range(0, len(work), _AT_A_TIME):
            piece = work[start : start + _AT_A_TIME]
            created += await asyncio.gather(*(make(each) for make, each in piece))
        return created

    async def _credentials(self, login: str) -> tuple[Credentials, str]:
        password = draw_password()
        return Credentials(login, await self._passwords.hash(password)), password

    def _made(
        self, account: Account, mailbox: Mailbox | None, password: str, **more: object
    ) -> DemoAccount:
        self._bar.advance(self._task)
        return DemoAccount(account, mailbox, password, more)

    async def _administrator(self) -> DemoAccount:
        credentials, password = await self._credentials("admin")
        account = await self._registration.administrator("Administrateur", credentials, self._act)
        return self._made(account, None, password)

    async def _professional(self, wanted: DemoProfessional) -> DemoAccount:
        credentials, password = await self._credentials(wanted.login)
        account, mailbox = await self._registration.professional(
            wanted.name,
            f"{wanted.login}@{self._domain}",
            wanted.rpps,
            wanted.profession,
            credentials,
            self._act,
        )
        return self._made(
            account, mailbox, password, rpps=wanted.rpps, profession=wanted.profession
        )

    async def _organisation(self, members: list[DemoAccount]) -> DemoAccount:
        name, finess, local = demo_world.ORGANISATION
        credentials, password = await self._credentials(local)
        organisation = await self._registration.organisation(name, finess, self._act)
        account, mailbox = await self._registration.organisation_mailbox(
            organisation, f"{local}@{self._domain}", credentials, self._act
        )
        for member in members:
            await self._registry.grant(Grant(member.account.id, mailbox.id), self._act)
        logins = [member.account.login for member in members]
        return self._made(account, mailbox, password, finess=finess, members=logins)

    async def _application(self) -> DemoAccount:
        name, local = demo_world.APPLICATION
        credentials, password = await self._credentials(local)
        account, mailbox = await self._registration.application(
            name, f"{local}@{self._domain}", credentials, self._act
        )
        return self._made(account, mailbox, password)

    async def _patient(self, wanted: DemoPatient) -> DemoAccount:
        credentials, password = await self._credentials(f"usager-{secrets.token_hex(5)}")
        _, mailbox, account = await self._registration.patient(
            wanted.ins,
            wanted.traits,
            self._act,
            status=wanted.status,
            credentials=credentials,
            activated=wanted.activated,
        )
        assert account is not None
        assert mailbox.type is MailboxType.CITIZEN
        traits = wanted.traits
        birth = traits.birth_date or ""
        return self._made(
            account,
            mailbox,
            password,
            ins=wanted.ins.matricule,
            insOid=wanted.ins.oid.value,
            identityStatus=wanted.status.value,
            activated=wanted.activated,
            traits={
                "birthName": traits.birth_name,
                "given": traits.given_names,
                "sex": traits.sex,
                "birthDate": f"{birth[:4]}-{birth[4:6]}-{birth[6:]}",
                "birthPlace": traits.birth_place,
            },
        )
