"""Realistic synthetic CDA R2 documents of the French profile, for tests, the demo and benchmarks.

Two kinds: `level1`, a hospital letter whose body is a PDF, and `biology`, a laboratory report with a
narrative and coded entries. People, numbers and results are invented; the same arguments give the
same bytes. As a program, writes a pair of samples into a folder:

    python scripts/make_samples.py FOLDER
"""

import base64
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from mssante.kernel.ins import InsOid, matricule_key
from mssante.kernel.luhn import luhn_key
from mssante.kernel.oid import PS_ID_NAT, STRUCT_ID_NAT

_ARC = "1.2.250.1.999.1"
"""Where the samples take their identifiers from: an arc that belongs to nobody."""
_LOINC = "2.16.840.1.113883.6.1"
_EFFECTIVE = "20261123083000+0100"
_LINE_BYTES = 105
_LINES_A_PAGE = 60


def a_matricule(number: int, *, sex: str = "F") -> str:
    """An invented INS: `number` (0 to 999 999) makes commune and order."""
    first = f"{1 if sex == 'M' else 2}79{3:02d}51{number:06d}"
    return f"{first}{matricule_key(first):02d}"


def an_rpps(number: int) -> str:
    """An invented RPPS number with a right key; `number` has at most seven digits."""
    return f"100{number:07d}" + luhn_key(f"100{number:07d}")


def a_finess(number: int) -> str:
    """An invented FINESS number with a right key; `number` has at most six digits."""
    return f"75{number:06d}" + luhn_key(f"75{number:06d}")


@dataclass(frozen=True)
class Subject:
    """The patient of a document. `None` leaves a part of the identity out."""

    ins: str | None = a_matricule(215001)
    ins_oid: str = InsOid.NIR_TEST.value
    birth_name: str | None = "PATIENT-DEUX"
    given_names: str | None = "ALIX MARIE-LOUISE"
    first_given: str | None = "ALIX"
    sex: str | None = "F"
    birth_date: str | None = "19790328"
    birth_place: str | None = "51215"
    birth_city: str = "DOMPREMY"
    local_id: str = "1234567890121"


@dataclass(frozen=True)
class Writer:
    """Who writes, signs and keeps a document."""

    rpps: str = an_rpps(41)
    family: str = "EXEMPLE"
    given: str = "Camille"
    specialty: str = "G15_10/SM26"
    specialty_label: str = "Médecin - Qualifié en Médecine Générale (SM)"
    finess: str = a_finess(12)
    organization: str = "Centre hospitalier Exemple"


@dataclass(frozen=True)
class Version:
    """How a document identifies itself. `number` makes its id; `replaces` is an id as text."""

    number: int = 1
    unique_id: str | None = None
    set_id: str | None = None
    version: int = 1
    replaces: str | None = None
    at: str = _EFFECTIVE
    title: str | None = None

    @property
    def id(self) -> str:
        """The document's id: root, or root^extension."""
        return self.unique_id or f"{_ARC}.{self.number}.{self.version}"


def level1(
    patient: Subject = Subject(),
    author: Writer = Writer(),
    version: Version = Version(),
    *,
    size: int = 0,
    pdf: bytes | None = None,
) -> bytes:
    """A hospital letter (34112-3) whose body is a PDF, at least `size` bytes long."""
    content = a_pdf(patient, author, size=size) if pdf is None else pdf
    encoded = base64.encodebytes(content).decode()
    body = (
        '<nonXMLBody><text mediaType="application/pdf" representation="B64">\n'
        f"{encoded}</text></nonXMLBody>"
    )
    return _document(
        patient,
        author,
        version,
        templates=("1.3.6.1.4.1.19376.1.2.20",),
        code=("34112-3", "CR hospitalier"),
        title=version.title or "Compte rendu hospitalier",
        acts=(_act("", version.at, author),),
        body=body,
    )


def biology(
    patient: Subject = Subject(),
    author: Writer = Writer(
        specialty="G15_21/C4", specialty_label="Pharmacien - Biologie médicale"
    ),
    version: Version = Version(number=2),
    *,
    size: int = 0,
) -> bytes:
    """A laboratory report (11502-2) with narrative and entries, at least `size` bytes long."""
    chapter = f'<code code="18719-5" displayName="Biochimie" codeSystem="{_LOINC}"/>'

    def written(rows: int) -> bytes:
        return _document(
            patient,
            author,
            version,
            templates=("1.3.6.1.4.1.19376.1.3.3", "1.2.250.1.213.1.1.1.55^2024.01"),
            code=("11502-2", "CR d'examens biologiques"),
            title=version.title or "Compte rendu d'examens de biologie médicale",
            acts=(_act(chapter, version.at, author),),
            body=_report(rows, version.at),
        )

    rows, document = 3, written(3)
    while len(document) < size:
        rows += max(1, (size - len(document)) // 900)  # a row has about 1 kB
        document = written(rows)
    return document


def a_pdf(patient: Subject, author: Writer, *, size: int = 0) -> bytes:
    """A letter as PDF; text fills it until the document around it has about `size` bytes."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1, pageCompression=0)
    canvas.setTitle("Compte rendu hospitalier")
    canvas.setAuthor(f"{author.given} {author.family}")
    canvas.setFont("Helvetica-Bold", 14)
    canvas.drawString(72, 780, author.organization)
    canvas.setFont("Helvetica", 10)
    canvas.drawString(72, 750, f"Patient : {patient.birth_name or ''} {patient.first_given or ''}")
    canvas.drawString(72, 735, f"Rédigé par : Dr {author.given} {author.family}")
    canvas.drawString(72, 705, "Document fictif. Examen clinique sans particularité.")
    for page in range(-(-size * 3 // 4 // (_LINE_BYTES * _LINES_A_PAGE))):
        canvas.showPage()
        canvas.setFont("Helvetica", 9)
        for line in range(_LINES_A_PAGE):
            text = (
                f"Observation {page + 1}.{line + 1} : constantes stables, poursuite du traitement."
            )
            canvas.drawString(72, 800 - 12 * line, text)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


_ANALYTES = (
    ("2345-7", "Glucose", "mmol/L", 4.1, 6.1),
    ("2951-2", "Sodium", "mmol/L", 136.0, 145.0),
    ("2823-3", "Potassium", "mmol/L", 3.5, 5.1),
    ("2160-0", "Créatinine", "umol/L", 49.0, 90.0),
    ("3016-3", "TSH", "mUI/L", 0.4, 4.0),
)


def _report(rows: int, at: str) -> str:
    """The structured body: one chapter with `rows` results."""
    lines, entries = [], []
    for number in range(rows):
        code, label, unit, low, high = _ANALYTES[number % len(_ANALYTES)]
        value = f"{low + (high - low) * (number % 7) / 7:.1f}"
        lines.append(
            f'<tr><td><content ID="a{number}">{label}</content></td>'
            f'<td><content ID="r{number}">{value}</content></td>'
            f"<td>{unit}</td><td>{low} - {high}</td></tr>"
        )
        entries.append(
            '<component><observation classCode="OBS" moodCode="EVN">'
            '<templateId root="1.3.6.1.4.1.19376.1.3.1.6"/>'
            f'<id root="{_ARC}.9" extension="{number + 1}"/>'
            f'<code code="{code}" displayName="{label}" codeSystem="{_LOINC}">'
            f'<originalText><reference value="#a{number}"/></originalText></code>'
            '<statusCode code="completed"/>'
            f'<effectiveTime value="{at}"/>'
            f'<value xsi:type="PQ" value="{value}" unit="{unit}"/>'
            '<interpretationCode code="N" codeSystem="2.16.840.1.113883.5.83"/>'
            "<referenceRange><observationRange>"
            f'<value xsi:type="IVL_PQ"><low value="{low}" unit="{unit}"/>'
            f'<high value="{high}" unit="{unit}"/></value>'
            '<interpretationCode code="N" codeSystem="2.16.840.1.113883.5.83"/>'
            "</observationRange></referenceRange></observation></component>"
        )
    return (
        "<structuredBody><component><section>"
        '<templateId root="1.3.6.1.4.1.19376.1.3.3.2.1"/>'
        f'<code code="18719-5" displayName="Biochimie" codeSystem="{_LOINC}"/>'
        "<title>Biochimie</title>"
        "<text><table><thead><tr><th>Analyse</th><th>Résultat</th><th>Unité</th>"
        f"<th>Référence</th></tr></thead><tbody>{''.join(lines)}</tbody></table></text>"
        '<entry typeCode="DRIV"><templateId root="1.3.6.1.4.1.19376.1.3.1"/>'
        '<act classCode="ACT" moodCode="EVN">'
        f'<code code="18719-5" displayName="Biochimie" codeSystem="{_LOINC}"/>'
        '<statusCode code="completed"/><entryRelationship typeCode="COMP">'
        '<organizer classCode="BATTERY" moodCode="EVN"><statusCode code="completed"/>'
        f"{''.join(entries)}</organizer></entryRelationship></act></entry>"
        "</section></component></structuredBody>"
    )


def _document(
    patient: Subject,
    author: Writer,
    version: Version,
    *,
    templates: tuple[str, ...],
    code: tuple[str, str],
    title: str,
    acts: tuple[str, ...],
    body: str,
) -> bytes:
    """The whole document, its children in the order of the schema."""
    roots = ("2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.1", *templates)
    set_id = version.set_id or f"{_ARC}.{version.number}"
    children = (
        '<realmCode code="FR"/>',
        '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>',
        *(_id("templateId", root) for root in roots),
        _id("id", version.id),
        f"<code code={quoteattr(code[0])} displayName={quoteattr(code[1])} codeSystem={quoteattr(_LOINC)}/>",
        f"<title>{escape(title)}</title>",
        f'<effectiveTime value="{version.at}"/>',
        '<confidentialityCode code="N" displayName="Normal" codeSystem="2.16.840.1.113883.5.25"/>',
        '<languageCode code="fr-FR"/>',
        _id("setId", set_id),
        f'<versionNumber value="{version.version}"/>',
        _record_target(patient),
        _author(author, version.at),
        _custodian(author),
        _legal_authenticator(author, version.at),
        *acts,
        *([_replacement(version.replaces)] if version.replaces else []),
        _encounter(author, version.at),
        f"<component>{body}</component>",
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ClinicalDocument xmlns="urn:hl7-org:v3"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n'
        + "\n".join(children)
        + "\n</ClinicalDocument>\n"
    ).encode()


def _id(name: str, text: str) -> str:
    root, caret, extension = text.partition("^")
    more = f" extension={quoteattr(extension)}" if caret else ""
    return f"<{name} root={quoteattr(root)}{more}/>"


def _record_target(patient: Subject) -> str:
    ids = f'<id root="1.2.250.1.999.2" extension={quoteattr(patient.local_id)}/>'
    if patient.ins is not None:
        ids += f"<id root={quoteattr(patient.ins_oid)} extension={quoteattr(patient.ins)}/>"
    names = "".join(
        f"<{part}{more}>{escape(text)}</{part}>"
        for part, more, text in (
            ("family", ' qualifier="BR"', patient.birth_name),
            ("given", "", patient.given_names),
            ("given", ' qualifier="BR"', patient.first_given),
        )
        if text is not None
    )
    birth = (
        "" if patient.birth_date is None else f"<birthTime value={quoteattr(patient.birth_date)}/>"
    )
    sex = (
        ""
        if patient.sex is None
        else f"<administrativeGenderCode code={quoteattr(patient.sex)}"
        ' codeSystem="2.16.840.1.113883.5.1"/>'
    )
    county = (
        "" if patient.birth_place is None else f"<county>{escape(patient.birth_place)}</county>"
    )
    return (
        f"<recordTarget><patientRole>{ids}"
        "<addr><houseNumber>28</houseNumber><streetName>Avenue de Breteuil</streetName>"
        "<postalCode>75007</postalCode><city>PARIS</city><country>FRANCE</country></addr>"
        '<telecom value="tel:0100000000" use="H"/>'
        f'<patient classCode="PSN"><name>{names}</name>{sex}{birth}'
        f"<birthplace><place><addr>{county}<city>{escape(patient.birth_city)}</city></addr></place>"
        "</birthplace></patient></patientRole></recordTarget>"
    )


def _organization(author: Writer, name: str, *, industry: bool) -> str:
    kind = (
        '<standardIndustryClassCode code="ETABLISSEMENT" displayName="Etablissement de santé"'
        ' codeSystem="1.2.250.1.213.1.1.4.9"/>'
        if industry
        else ""
    )
    return (
        f'<{name}><id root="{STRUCT_ID_NAT}" extension="1{author.finess}"/>'
        f"<name>{escape(author.organization)}</name>"
        '<telecom value="tel:0100000001"/>'
        "<addr><streetAddressLine>1 rue de l'Exemple</streetAddressLine></addr>"
        f"{kind}</{name}>"
    )


def _professional(author: Writer) -> str:
    return (
        f'<id root="{PS_ID_NAT}" extension="8{author.rpps}"/>'
        f"<code code={quoteattr(author.specialty)} displayName={quoteattr(author.specialty_label)}"
        ' codeSystem="1.2.250.1.213.1.1.4.5"/>'
        '<addr nullFlavor="NAV"/><telecom value="tel:0100000001" use="WP"/>'
        f"<assignedPerson><name><family>{escape(author.family)}</family>"
        f"<given>{escape(author.given)}</given><suffix>DR</suffix></name></assignedPerson>"
        f"{_organization(author, 'representedOrganization', industry=True)}"
    )


def _author(author: Writer, at: str) -> str:
    return (
        f'<author><time value="{at}"/>'
        f"<assignedAuthor>{_professional(author)}</assignedAuthor></author>"
    )


def _legal_authenticator(author: Writer, at: str) -> str:
    return (
        f'<legalAuthenticator><time value="{at}"/><signatureCode code="S"/>'
        f"<assignedEntity>{_professional(author)}</assignedEntity></legalAuthenticator>"
    )


def _replacement(replaced: str) -> str:
    return (
        '<relatedDocument typeCode="RPLC"><parentDocument>'
        f"{_id('id', replaced)}</parentDocument></relatedDocument>"
    )


def _custodian(author: Writer) -> str:
    kept = _organization(author, "representedCustodianOrganization", industry=False)
    return f"<custodian><assignedCustodian>{kept}</assignedCustodian></custodian>"


def _act(code: str, at: str, author: Writer) -> str:
    return (
        f"<documentationOf><serviceEvent>{code}"
        f'<effectiveTime><low value="{at}"/></effectiveTime>'
        f'<performer typeCode="PRF"><assignedEntity>{_professional(author)}</assignedEntity>'
        "</performer></serviceEvent></documentationOf>"
    )


def _encounter(author: Writer, at: str) -> str:
    return (
        "<componentOf><encompassingEncounter>"
        '<code code="IMP" displayName="Hospitalisation" codeSystem="2.16.840.1.113883.5.4"/>'
        f'<effectiveTime><low value="{at}"/></effectiveTime>'
        "<location><healthCareFacility>"
        '<code code="SA01" displayName="Etablissement public de santé"'
        ' codeSystem="1.2.250.1.71.4.2.4"/>'
        f"<location><name>{escape(author.organization)}</name></location>"
        "</healthCareFacility></location></encompassingEncounter></componentOf>"
    )


def main(folder: Path) -> None:
    """Write one document of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("level1.xml", level1()), ("biology.xml", biology())):
        (folder / name).write_bytes(content)
        print(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
