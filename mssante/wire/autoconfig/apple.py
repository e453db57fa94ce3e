"""A configuration profile for Apple's devices: ``.mobileconfig``, with one mail account.

Apple, "Device Management", profiles ``TopLevel`` and ``Mail`` (``com.apple.mail.managed``). The same
address gives the same identifiers, so that a profile that is installed again replaces the former one.
There is no password in it: the device asks.
"""

import plistlib
from typing import Any, Final
from uuid import UUID, uuid5

from mssante.wire.autoconfig.model import MailService

MEDIA_TYPE: Final = "application/x-apple-aspen-config"
_NAMESPACE: Final = UUID("b0a3f4c4-6c8a-5a2e-9f6d-0c5d1f8f7a11")
"""Of our profiles' identifiers (RFC 9562 section 5.5)."""


def mail_profile(service: MailService, domain: str, address: str = "") -> bytes:
    """The profile, as a property list that is still to be signed.

    Args:
        service: has at least one way in of each direction.
        domain: of the addresses; gives the identifiers their names.
        address: whose account it is; where it is empty the device asks.

    Raises:
        ValueError: the service lacks a direction.
    """
    incoming, outgoing = next(service.incoming(), None), next(service.outgoing(), None)
    if incoming is None or outgoing is None:
        raise ValueError("an account needs a server to read from and one to send to")
    name = ".".join(reversed(domain.split(".")))
    key = f"{domain}/{address.lower()}"
    mail: dict[str, Any] = {
        "PayloadType": "com.apple.mail.managed",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{name}.mssante.mail.account",
        "PayloadUUID": _identifier(f"mail {key}"),
        "PayloadDisplayName": service.name,
        "EmailAccountType": "EmailTypeIMAP",
        "EmailAccountDescription": service.name,
        "IncomingMailServerAuthentication": "EmailAuthPassword",
        "IncomingMailServerHostName": incoming.endpoint.host,
        "IncomingMailServerPortNumber": incoming.endpoint.port,
        "IncomingMailServerUseSSL": True,
        "OutgoingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingMailServerHostName": outgoing.endpoint.host,
        "OutgoingMailServerPortNumber": outgoing.endpoint.port,
        "OutgoingMailServerUseSSL": True,
        "OutgoingPasswordSameAsIncomingPassword": True,
        # Health mail stays in its account, and out of what Apple's cloud carries between devices.
        "PreventMove": True,
        "PreventAppSheet": True,
        "allowMailDrop": False,
        "disableMailRecentsSyncing": True,
    }
    if address:
        login = service.user_name_of(address)
        mail |= {
            "EmailAddress": address,
            "IncomingMailServerUsername": login,
            "OutgoingMailServerUsername": login,
        }
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{name}.mssante.mail",
        "PayloadUUID": _identifier(f"profile {key}"),
        "PayloadDisplayName": service.name,
        "PayloadOrganization": service.name,
        "PayloadContent": [mail],
    }
    return plistlib.dumps(profile)


def _identifier(name: str) -> str:
    return str(uuid5(_NAMESPACE, name)).upper()
