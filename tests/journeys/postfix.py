"""A Postfix of its own, in a folder: another operator's mail system."""

import email
import pwd
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from tests.journeys.instance import Instance, free_port_base

_SERVICES = """
{inside} inet n - n - - smtpd
{outside} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt -o smtpd_tls_req_ccert=yes
  -o mynetworks= -o smtpd_relay_restrictions=reject_unauth_destination
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

_SETTINGS = """
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = {folder}/etc
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.{domain}
myorigin = {domain}
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = inline:{{ {{{mailbox} = inbox/}} }}
virtual_mailbox_base = {folder}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_CAfile = {authority}
smtpd_tls_ask_ccert = yes
smtpd_tls_received_header = yes
smtpd_tls_mandatory_protocols = >=TLSv1.2
smtp_tls_cert_file = {certificate}
smtp_tls_key_file = {key}
smtp_tls_CAfile = {authority}
smtp_tls_security_level = secure
smtp_tls_loglevel = 1
smtp_tls_secure_cert_match = hostname
smtp_tls_mandatory_protocols = >=TLSv1.2
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
default_transport = smtp:[{host}]:{port}
minimal_backoff_time = 2s
queue_run_delay = 2s
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
"""


class Postfix:
    """The listed operator of a demo instance, played by Postfix; needs root, as Postfix does."""

    def __init__(self, instance: Instance) -> None:
        operator = instance.demo["remote_operators"][0]
        self.domain: str = operator["domain"]
        self.mailbox = f"dr.voisin@{self.domain}"
        self.inside_port = free_port_base()
        # Not pytest's folder, which only its owner may enter: Postfix's processes give up root.
        self.folder = Path(tempfile.mkdtemp(prefix="mssante-postfix-"))
        self.folder.chmod(0o755)
        owner = pwd.getpwnam("postfix")
        for name in ("etc", "spool", "data", "mail"):
            (self.folder / name).mkdir()
        for name in ("data", "mail"):
            shutil.chown(self.folder / name, "postfix")
        for name in ("postfix-files", "dynamicmaps.cf"):  # what its own check of the folder reads
            shutil.copy(Path("/etc/postfix") / name, self.folder / "etc")
        self._configure(
            "main.cf",
            _SETTINGS.format(
                folder=self.folder,
                domain=self.domain,
                mailbox=self.mailbox,
                uid=owner.pw_uid,
                gid=owner.pw_gid,
                certificate=operator["client_certificate"],
                key=operator["client_key"],
                authority=instance.directory / instance.demo["ca_file"],
                host=instance.demo["host"],
                port=instance.demo["ports"]["smtp"],
            ),
        )
        # Where the routes of a demo instance expect its first other operator.
        outside = f"127.0.0.1:{instance.port_base + 26}"
        inside = f"127.0.0.1:{self.inside_port}"
        self._configure("master.cf", _SERVICES.format(inside=inside, outside=outside))

    def _configure(self, name: str, text: str) -> None:
        (self.folder / "etc" / name).write_text(text)

    def start(self) -> None:
        self._control("start")
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.inside_port), timeout=5).close()
                return
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, self.log
                time.sleep(0.1)

    def stop(self) -> None:
        self._control("stop")
        shutil.rmtree(self.folder)

    def _control(self, action: str) -> None:
        with (self.folder / "control.log").open("a") as said:
            subprocess.run(
                ["postfix", "-c", str(self.folder / "etc"), action],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=60,
            )

    def post(self, recipient: str, message: EmailMessage, *options: str) -> None:
        """Hand it a message of its own member."""
        with smtplib.SMTP("127.0.0.1", self.inside_port, timeout=20) as client:
            client.ehlo()
            content = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
            client.sendmail(self.mailbox, [recipient], content, rcpt_options=options)

    def inbox(self) -> list[EmailMessage]:
        """What its member has received."""
        received = sorted((self.folder / "mail" / "inbox" / "new").glob("*"))
        return [
            email.message_from_bytes(path.read_bytes(), policy=default)  # type: ignore[misc]
            for path in received
        ]

    @property
    def log(self) -> str:
        path = self.folder / "postfix.log"
        return path.read_text() if path.exists() else ""
