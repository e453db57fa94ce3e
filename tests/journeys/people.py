"""What the journeys' people do: write, look into their mailbox, find their documents."""

import email
import imaplib
from email.policy import default

import make_samples


def post(instance, sender, message):
    """Submit a message as it is, and wait until all its effects are done."""
    with instance.smtp(sender) as client:
        content = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
        client.sendmail(sender["address"], [message["To"]], content)
    instance.wait_until_carried()


def subject_of(patient: dict) -> make_samples.Subject:
    traits = patient["traits"]
    return make_samples.Subject(
        ins=patient["ins"],
        birth_name=traits["birthName"],
        given_names=traits["given"],
        first_given=traits["given"].split()[0],
        sex=traits["sex"],
        birth_date=traits["birthDate"].replace("-", ""),
        birth_place=traits["birthPlace"],
    )


def documents_of(instance, patient):
    listed = instance.json("dmp", "list", "--patient", "-", stdin=patient["ins"])
    return {document["uniqueId"]: document for document in listed}


def raw_inbox(instance, account, *criteria):
    """The octets of the messages of an INBOX, or of those that a SEARCH finds, prefix included."""
    demo = instance.demo
    with imaplib.IMAP4_SSL(
        demo["host"], demo["ports"]["imaps"], ssl_context=instance.tls()
    ) as client:
        client.login(account["login"], account["password"])
        client.select("INBOX", readonly=True)
        _, [numbers] = client.search(None, *(criteria or ("ALL",)))
        return [client.fetch(n.decode(), "(BODY.PEEK[])")[1][0][1] for n in numbers.split()]


def inbox(instance, account, *criteria):
    """The same, read."""
    found = raw_inbox(instance, account, *criteria)
    return [email.message_from_bytes(raw, policy=default) for raw in found]


def inside(received):
    """What the sender wrote: the seal around it taken off."""
    return (
        received.get_payload(0) if received.get_content_type() == "multipart/signed" else received
    )
