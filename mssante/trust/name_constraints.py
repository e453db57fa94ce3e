"""Name constraints (RFC 5280 section 4.2.1.10): which names an authority may certify.

Subtrees need not be intersected on the way: a name is good when it satisfies each authority's
constraints by themselves, which comes to the same.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from cryptography import x509

from mssante.trust.certificate_addresses import internationalised, subject_addresses
from mssante.trust.extensions import extension
from mssante.trust.refusals import Untrusted


def check_name_constraints(path: Sequence[x509.Certificate]) -> None:
    """Check every certificate of a path against every authority above it.

    Args:
        path: from the end entity to the anchor.

    Raises:
        Untrusted: name-constraints.
    """
    for position in range(1, len(path)):
        constraints = extension(path[position], x509.NameConstraints)
        if constraints is None:
            continue
        for below, certificate in enumerate(path[:position]):
            # Self-issued authorities (a key change) are exempt, the end entity never.
            if below and certificate.subject == certificate.issuer:
                continue
            for name in _names(certificate):
                _check(name, constraints)


def _names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    if certificate.subject.rdns:
        found.append(x509.DirectoryName(certificate.subject))
    names = extension(certificate, x509.SubjectAlternativeName)
    texts = list(subject_addresses(certificate))
    if names is not None:
        found += names
        texts += internationalised(names)
    for text in texts:
        try:
            found.append(x509.RFC822Name(text))
        except ValueError:
            # Only the domain is compared, unless a constraint names a mailbox.
            found.append(x509.RFC822Name(f"x@{_domain(text)}"))
    return found


def _check(name: x509.GeneralName, constraints: x509.NameConstraints) -> None:
    excluded = _same_kind(name, constraints.excluded_subtrees)
    if any(_within(name, tree) for tree in excluded):
        raise Untrusted("name-constraints")
    permitted = _same_kind(name, constraints.permitted_subtrees)
    if permitted and not any(_within(name, tree) for tree in permitted):
        raise Untrusted("name-constraints")


def _same_kind(
    name: x509.GeneralName, subtrees: Iterable[x509.GeneralName] | None
) -> list[x509.GeneralName]:
    return [tree for tree in subtrees or () if type(tree) is type(name)]


def _within(name: x509.GeneralName, tree: x509.GeneralName) -> bool:
    match name, tree:
        case x509.RFC822Name(), x509.RFC822Name():
            return _address_within(name.value, tree.value)
        case x509.DNSName(), x509.DNSName():
            host, base = name.value.lower(), tree.value.lower().lstrip(".")
            return not base or host == base or host.endswith(f".{base}")
        case x509.UniformResourceIdentifier(), x509.UniformResourceIdentifier():
            return _host_within((urlsplit(name.value).hostname or ""), tree.value.lower())
        case x509.DirectoryName(), x509.DirectoryName():
            wanted = tree.value.rdns
            return name.value.rdns[: len(wanted)] == wanted
        case x509.IPAddress(), x509.IPAddress():
            # In a constraint the value is a network, in a name an address.
            return _address_in(name, tree)
        case _:
            # A form that we cannot compare: a certificate with such a name must be rejected.
            raise Untrusted("name-constraints")


def _address_in(name: x509.IPAddress, tree: x509.IPAddress) -> bool:
    address, network = name.value, tree.value
    if isinstance(address, IPv4Address) and isinstance(network, IPv4Network):
        return address in network
    if isinstance(address, IPv6Address) and isinstance(network, IPv6Network):
        return address in network
    return False


def _address_within(address: str, tree: str) -> bool:
    local, _, _ = address.rpartition("@")
    domain = _domain(address)
    if "@" in tree:
        tree_local, _, tree_domain = tree.rpartition("@")
        return (local, domain) == (tree_local, tree_domain.lower())
    return _host_within(domain, tree.lower())


def _host_within(host: str, tree: str) -> bool:
    """A constraint with a leading period means hosts below it, without one this host alone."""
    return host.endswith(tree) if tree.startswith(".") else host == tree


def _domain(address: str) -> str:
    domain = address.rpartition("@")[2].lower()
    try:
        return domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        return "invalid"
