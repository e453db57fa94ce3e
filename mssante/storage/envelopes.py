"""SMTP envelopes as bytes to be sealed: what the journal and the queues keep of a message's way."""

import json
from typing import Any

from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import Envelope, Seal
from mssante.wire.smtp.notifications import DeliveryRequest, Notify, Return


def encode_envelope(envelope: Envelope) -> bytes:
    """An envelope as JSON, to be sealed."""
    return json.dumps(
        {
            "sender": str(envelope.sender) if envelope.sender else None,
            "recipients": [str(recipient) for recipient in envelope.recipients],
            "account": envelope.account_id.hex() if envelope.account_id else None,
            "mailbox": envelope.mailbox_id.hex() if envelope.mailbox_id else None,
            "client": envelope.client,
            "protocol": envelope.protocol,
            "tls": envelope.tls,
            "body_8bit": envelope.body_8bit,
            "smtputf8": envelope.smtputf8,
            "operator": envelope.operator,
            "returns": envelope.returns,
            "envid": envelope.envid,
            "requests": {
                key: encode_request(request) for key, request in envelope.requests.items()
            },
            **({"seal": _encoded_seal(envelope.seal)} if envelope.seal else {}),
        }
    ).encode()


def encode_request(request: DeliveryRequest) -> dict[str, object]:
    """A recipient's request as JSON values."""
    notify = None if request.notify is None else sorted(request.notify)
    return {"notify": notify, "original": request.original}


def decode_request(values: dict[str, Any]) -> DeliveryRequest:
    """The request that `encode_request` wrote."""
    notify = values["notify"]
    return DeliveryRequest(
        None if notify is None else frozenset(map(Notify, notify)), values["original"]
    )


def decode_envelope(encoded: bytes) -> Envelope:
    """The envelope that `encode_envelope` wrote."""
    values = json.loads(encoded)

    def opaque(name: str) -> OpaqueId | None:
        return OpaqueId(bytes.fromhex(values[name])) if values[name] else None

    return Envelope(
        sender=Address.split(values["sender"]) if values["sender"] else None,
        recipients=tuple(map(Address.split, values["recipients"])),
        account_id=opaque("account"),
        mailbox_id=opaque("mailbox"),
        client=values["client"],
        protocol=values["protocol"],
        tls=values["tls"],
        body_8bit=values["body_8bit"],
        smtputf8=values["smtputf8"],
        operator=values.get(
            "operator", ""
        ),  # absent in what an older version wrote, as what follows
        returns=Return(values["returns"]) if values.get("returns") else None,
        envid=values.get("envid", ""),
        requests={
            key: decode_request(request) for key, request in values.get("requests", {}).items()
        },
        seal=Seal(*values["seal"]) if "seal" in values else None,
    )


def _encoded_seal(seal_of_mailbox: Seal) -> list[str]:
    return [seal_of_mailbox.address, seal_of_mailbox.serial, seal_of_mailbox.issuer]
