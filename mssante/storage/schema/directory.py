"""Tables of the directory database: who is who.

Primary keys are opaque 128-bit ids. What identifies a person (INS, traits, addresses, RPPS) is an
attribute; INS and traits are dated, since a temporary number becomes a final one and a birth name
gets corrected: the present row has no `valid_to`. Instants are milliseconds since 1970, UTC.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

from mssante.storage.schema.audit import audit_tables

METADATA: Final = MetaData()
AUDIT: Final = audit_tables(METADATA, "directory")


def _id(name: str, target: str | None = None, *, nullable: bool = False) -> Column[bytes]:
    """A column for an opaque id, referring to `target` where given."""
    if target is None:
        return Column(name, LargeBinary(16), nullable=nullable)
    return Column(name, LargeBinary(16), ForeignKey(target), nullable=nullable)


def _key() -> Column[bytes]:
    return Column("id", LargeBinary(16), primary_key=True)


def _instant(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


DOMAIN: Final = Table(
    "domain",
    METADATA,
    _key(),
    Column("name", Text, nullable=False, unique=True),
    Column("patients", Boolean, nullable=False),  # its addresses are <INS>@name
    _instant("created_at"),
)

ORGANISATION: Final = Table(
    "organisation",
    METADATA,
    _key(),
    Column("name", Text, nullable=False),
    Column("national_id", Text, nullable=False, unique=True),  # IDNST: 1 + FINESS, 3 + SIRET…
    _instant("created_at"),
)

ACCOUNT: Final = Table(
    "account",
    METADATA,
    _key(),
    Column("role", Text, nullable=False),
    Column("login", Text, nullable=False, unique=True),  # lower case
    Column("display_name", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("credential_version", Integer, nullable=False),
    Column("password_hash", Text, nullable=False),  # PHC string; empty: no password opens it
    _instant("created_at"),
)

PROFESSIONAL: Final = Table(
    "professional",
    METADATA,
    Column("account_id", LargeBinary(16), ForeignKey("account.id"), primary_key=True),
    Column("rpps", Text, nullable=False, unique=True),
    Column("profession", Text),  # code of TRE_G15
)

PATIENT: Final = Table(
    "patient",
    METADATA,
    _key(),
    Column("dmp_active", Boolean, nullable=False),
    _instant("created_at"),
)

PATIENT_INS: Final = Table(
    "patient_ins",
    METADATA,
    _key(),
    _id("patient_id", "patient.id"),
    Column("matricule", Text, nullable=False),
    Column("oid", Text, nullable=False),
    # The name space in which the matricule is one person: the OID itself, or in a sandbox one
    # space for the production NIR and the two test authorities.
    Column("space", Text, nullable=False),
    _instant("valid_from"),
    _instant("valid_to", nullable=True),
    Index("ix_patient_ins_patient_id", "patient_id"),
    Index("ix_patient_ins_matricule", "matricule"),
    Index(
        "uq_patient_ins_present",
        "space",
        "matricule",
        unique=True,
        sqlite_where=text("valid_to IS NULL"),
        postgresql_where=text("valid_to IS NULL"),
    ),
)

PATIENT_TRAITS: Final = Table(
    "patient_traits",
    METADATA,
    _key(),
    _id("patient_id", "patient.id"),
    Column("birth_name", Text),
    Column("given_names", Text),
    Column("first_given", Text),
    Column("sex", Text),
    Column("birth_date", Text),
    Column("birth_place", Text),
    Column("status", Text, nullable=False),  # PROV, VALI, RECUP, QUAL
    _instant("valid_from"),
    _instant("valid_to", nullable=True),
    Index("ix_patient_traits_patient_id", "patient_id"),
)

MAILBOX: Final = Table(
    "mailbox",
    METADATA,
    _key(),
    Column("type", Text, nullable=False),
    Column("address_key", Text, nullable=False, unique=True),  # lower case
    Column("local", Text, nullable=False),  # as written when it was created
    Column("domain", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    _id("patient_id", "patient.id", nullable=True),
    _id("organisation_id", "organisation.id", nullable=True),
    Column("feeds_dmp", Boolean, nullable=False),
    Column("open_to_patients", Text),  # which patients may write first: any, known
    _instant("created_at"),
    _instant("closed_at", nullable=True),  # while it is closed or objected to
    Index("uq_mailbox_patient_id", "patient_id", unique=True),
)

MAILBOX_ACCESS: Final = Table(
    "mailbox_access",
    METADATA,
    Column("account_id", LargeBinary(16), ForeignKey("account.id"), primary_key=True),
    Column("mailbox_id", LargeBinary(16), ForeignKey("mailbox.id"), primary_key=True),
    Column("may_send", Boolean, nullable=False),
    Column("is_owner", Boolean, nullable=False),
    _instant("created_at"),
    Index("ix_mailbox_access_mailbox_id", "mailbox_id"),
)

WHITE_LIST: Final = Table(
    "white_list",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1: the one in force
    _instant("generated_at"),
    _instant("imported_at"),
    Column("signed", Boolean, nullable=False),  # a signature stood in it
    Column("digest", LargeBinary(32), nullable=False),  # SHA-256 of the file
    # Who signed it (RFC 4514), where the signature was verified.
    Column("signer", Text, nullable=False, server_default=""),
    Column("source", Text, nullable=False, server_default=""),  # URL; empty: a file
    # When the source last said that this is its list.
    _instant("confirmed_at", nullable=True),
    Column("etag", Text, nullable=False, server_default=""),  # of the source's answer
    Column("last_modified", Text, nullable=False, server_default=""),
)

WHITE_LIST_ENTRY: Final = Table(
    "white_list_entry",
    METADATA,
    Column("domain", Text, primary_key=True),  # A-labels, lower case
    Column("operator", Text, primary_key=True),  # certificate name, RFC 4514 in its one spelling
    Column("position", Integer, nullable=False),  # in the file
    Column("description", Text, nullable=False),
    Index("ix_white_list_entry_operator", "operator"),
)

MAILBOX_KEY: Final = Table(
    "mailbox_key",
    METADATA,
    _key(),
    _id("mailbox_id", "mailbox.id"),
    Column("purpose", Text, nullable=False),  # sign, encrypt
    Column("state", Text, nullable=False),  # active, retired, revoked
    Column("origin", Text, nullable=False),  # issued, imported
    Column("fingerprint", LargeBinary(32), nullable=False),  # SHA-256 of the certificate
    Column("certificate", LargeBinary, nullable=False),  # DER
    Column("chain", LargeBinary, nullable=False),  # DER of the intermediates, one behind the other
    Column("sealed", LargeBinary, nullable=False),  # PKCS #8, with the row's own key
    Column("wrapped_key", LargeBinary, nullable=False),  # the row's own key
    _instant("not_before"),
    _instant("not_after"),
    _instant("created_at"),
    _instant("revoked_at", nullable=True),
    Index("ix_mailbox_key_mailbox_id", "mailbox_id", "purpose"),
    Index("ix_mailbox_key_fingerprint", "fingerprint"),
    Index(
        "uq_mailbox_key_active",
        "mailbox_id",
        "purpose",
        unique=True,
        sqlite_where=text("state = 'active'"),
        postgresql_where=text("state = 'active'"),
    ),
)

USAGE: Final = Table(
    "usage_counter",
    METADATA,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),  # hours since 1970
    Column("subject", Text, primary_key=True),  # account:, operator: or network: and its name
    Column("messages", BigInteger, nullable=False),
    Column("recipients", BigInteger, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("connections", BigInteger, nullable=False),
    Column("unknown", BigInteger, nullable=False),
)
