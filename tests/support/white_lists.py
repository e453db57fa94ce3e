"""White lists as ANS writes them, with invented operators."""

ONE = "CN=mx1.un.example,OU=399900090400014,O=OPERATEUR UN,ST=Rhône (69),C=FR"
TWO = "CN=mx.deux.example,OU=1750000000,O=HOPITAL DEUX,ST=Côtes-d'Armor (22),C=FR"
OTHER_OF_ONE = "CN=mx2.un.example,OU=399900090400014,O=OPERATEUR UN,ST=Rhône (69),C=FR"
SIGNATURE = (
    '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo/></ds:Signature>'
)
ENTRIES = (
    ("cabinet.un.mssante.fr", ONE),
    ("cabinet.un.mssante.fr", OTHER_OF_ONE),
    ("x.y.un.mssante.fr", ONE),
    ("LABO.deux.mssante.fr", TWO),
)


def entry(domain: str, operator: str) -> str:
    return f"""
        <Domaine>
            <Nom>{domain}</Nom>
            <Description>Domaine inventé</Description>
            <DNCertificatOperateur>{operator}</DNCertificatOperateur>
            <ResponsableContact>01 00 00 00 00, a@example.invalid</ResponsableContact>
            <SupportContact>01 00 00 00 01, b@example.invalid</SupportContact>
            <DateMAJ>2026-11-25T09:00:00Z</DateMAJ>
        </Domaine>"""


def white_list(entries=ENTRIES, generated="2026-11-23T03:00:00Z", signature="") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListeBlancheMSSante xmlns="https://listeblanche.mssante.fr/schema">\n'
        f"    <DateDeGeneration>{generated}</DateDeGeneration>\n    <ListeDomaines>"
        + "".join(entry(*each) for each in entries)
        + f"\n    </ListeDomaines>{signature}\n</ListeBlancheMSSante>\n"
    ).encode()
