"""Why a document is held: one table of causes, codes and words.

The codes are those of the French returns (CI-SIS, "transmission au LPS de documents CDA"): 900 wrong
version, 901 author not allowed, 902 patient unknown, 903 no INS, 904 INS or traits differ, 905 traits
missing, 906 other. What concerns a patient's choices has one public text.
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from mssante.dmp.deposit import Conflict


@unique
class Cause(StrEnum):
    """Why the clerk holds a document; the store's own reasons are in `dmp.deposit.Conflict`."""

    UNREADABLE = "unreadable"
    ID_MISSING = "id-missing"
    BODY_UNSAFE = "body-unsafe"
    INS_MISSING = "ins-missing"
    INS_WRONG = "ins-wrong"
    INS_SEVERAL = "ins-several"
    INS_TEST_AUTHORITY = "ins-test-authority"
    INS_DIFFERS = "ins-differs"
    OTHER_PERSON = "other-person"
    MIXED_PERSONS = "mixed-persons"
    PATIENT_UNKNOWN = "patient-unknown"
    NOT_QUALIFIED = "not-qualified"
    TRAIT_MISSING = "trait-missing"
    TRAIT_DIFFERS = "trait-differs"
    TRAIT_IMPRECISE = "trait-imprecise"
    RECORD_UNAVAILABLE = "record-unavailable"
    ARCHIVE_REFUSED = "archive-refused"
    DELETION_ASKED = "deletion-asked"
    INVISIBLE_PATIENT = "invisible-patient"
    INVISIBLE_BESIDE = "invisible-beside"
    VISIBILITY_CONTRADICTORY = "visibility-contradictory"
    SIGNATURE_NOT_VALID = "signature-not-valid"
    PROTECTION_UNUSABLE = "protection-unusable"


@dataclass(frozen=True, slots=True)
class Words:
    """What the sender is told."""

    code: int
    french: str
    english: str


WORDS: Final[dict[str, Words]] = {
    Cause.UNREADABLE: Words(
        906,
        "le fichier n'est pas un document CDA lisible",
        "the file is not a readable CDA document",
    ),
    Cause.ID_MISSING: Words(
        906, "le document n'a pas d'identifiant", "the document has no identifier"
    ),
    Cause.BODY_UNSAFE: Words(
        906,
        "le corps du document est illisible ou contient un élément interdit",
        "the body of the document is unreadable or has forbidden content",
    ),
    Cause.INS_MISSING: Words(903, "INS absent du document", "no INS in the document"),
    Cause.INS_WRONG: Words(
        904,
        "l'INS du document est mal formé ou sa clé est fausse",
        "the INS of the document is malformed or its key is wrong",
    ),
    Cause.INS_SEVERAL: Words(
        904,
        "le document porte plusieurs INS ou plusieurs patients",
        "the document has more than one INS or patient",
    ),
    Cause.INS_TEST_AUTHORITY: Words(
        906,
        "l'INS du document est un INS de test, refusé ici",
        "the INS of the document is a test INS, refused here",
    ),
    Cause.INS_DIFFERS: Words(
        904,
        "l'INS du document n'est plus ou n'est pas celui du patient",
        "the INS of the document is not, or no longer, the patient's",
    ),
    Cause.OTHER_PERSON: Words(
        904,
        "le document désigne une autre personne que le destinataire",
        "the document names another person than the recipient",
    ),
    Cause.MIXED_PERSONS: Words(
        906,
        "un autre document du message désigne une autre personne",
        "another document of the message names another person",
    ),
    Cause.SIGNATURE_NOT_VALID: Words(
        906,
        "la signature du message n'est pas valide",
        "the signature of the message is not valid",
    ),
    Cause.PROTECTION_UNUSABLE: Words(
        906,
        "le contenu protégé (S/MIME) du message n'a pas pu être exploité",
        "the protected content (S/MIME) of the message could not be used",
    ),
    Cause.PATIENT_UNKNOWN: Words(902, "patient inconnu", "unknown patient"),
    Cause.NOT_QUALIFIED: Words(
        906,
        "l'identité du patient n'est pas qualifiée",
        "the patient's identity is not qualified",
    ),
    Cause.TRAIT_MISSING: Words(
        905,
        "trait d'identité absent du document",
        "an identity trait is missing in the document",
    ),
    Cause.TRAIT_DIFFERS: Words(904, "trait d'identité différent", "an identity trait differs"),
    Cause.TRAIT_IMPRECISE: Words(
        906,
        "trait d'identité trop imprécis pour un dépôt automatique",
        "an identity trait is too imprecise for automatic filing",
    ),
    Cause.RECORD_UNAVAILABLE: Words(
        906,
        "le document ne peut pas être déposé dans le DMP",
        "the document cannot be filed into the DMP",
    ),
    Cause.ARCHIVE_REFUSED: Words(
        906, "l'archive XDM est refusée en entier", "the XDM archive is refused as a whole"
    ),
    Cause.DELETION_ASKED: Words(
        906,
        "la suppression demandée doit être faite par une personne",
        "the deletion that is asked for must be done by a person",
    ),
    Cause.INVISIBLE_PATIENT: Words(
        906,
        "le document n'est pas visible par le patient, à qui le message est adressé",
        "the document is not visible to the patient, to whom the message is addressed",
    ),
    Cause.INVISIBLE_BESIDE: Words(
        906,
        "un autre document du message n'est pas visible par le patient",
        "another document of the message is not visible to the patient",
    ),
    Cause.VISIBILITY_CONTRADICTORY: Words(
        906,
        "le document ne peut pas être à la fois masqué aux professionnels et non visible par le patient",
        "the document cannot be both masked from professionals and not visible to the patient",
    ),
    Conflict.NON_IDENTICAL_HASH: Words(
        906,
        "un autre document porte cet identifiant (XDSNonIdenticalHash)",
        "another document has this identifier (XDSNonIdenticalHash)",
    ),
    # The same words: who else has a document is nobody's business.
    Conflict.OTHER_PATIENT: Words(
        906,
        "un autre document porte cet identifiant (XDSNonIdenticalHash)",
        "another document has this identifier (XDSNonIdenticalHash)",
    ),
    Conflict.REPLACED_ELSEWHERE: Words(
        900,
        "le document à remplacer n'est pas remplaçable",
        "the document to replace cannot be replaced",
    ),
    Conflict.SAME_VERSION: Words(
        900,
        "cette version du document existe déjà sous un autre identifiant",
        "this version of the document exists under another identifier",
    ),
    Conflict.NOT_LATEST: Words(
        900,
        "la version à remplacer n'est pas la dernière",
        "the version to replace is not the latest",
    ),
    Conflict.NOT_ALLOWED: Words(
        901,
        "l'auteur n'est ni celui du document remplacé ni de la même structure",
        "the author is neither the replaced document's nor of the same structure",
    ),
}

DETAILS: Final[dict[str, tuple[str, str]]] = {
    "birth-name": ("nom de naissance", "birth name"),
    "given-names": ("prénoms de naissance", "given names"),
    "birth-date": ("date de naissance", "date of birth"),
    "sex": ("sexe", "sex"),
    "birth-place": ("lieu de naissance", "place of birth"),
    "doctype": ("déclaration DOCTYPE interdite", "a DOCTYPE is forbidden"),
    "encoding": ("encodage des caractères", "character encoding"),
    "malformed": ("XML mal formé", "malformed XML"),
    "too-deep": ("XML trop profond", "XML too deep"),
    "too-large": ("trop volumineux", "too large"),
    "too-many-nodes": ("XML trop complexe", "XML too complex"),
    "too-many-attributes": ("XML trop complexe", "XML too complex"),
    "too-complex": ("en-tête trop volumineux", "the header is too large"),
    "too-many": ("trop de documents dans le message", "too many documents in the message"),
    "namespace": ("espace de noms CDA absent", "no CDA namespace"),
    "transfer": ("encodage de transfert de la pièce jointe", "transfer encoding of the attachment"),
    "body-unreadable": ("corps non décodable", "the body cannot be decoded"),
    "body-empty": ("corps vide", "the body is empty"),
    "body-type": ("corps d'un autre type que déclaré", "the body is not of its declared type"),
    "pdf-encrypted": ("PDF chiffré", "encrypted PDF"),
    "pdf-script": ("PDF avec script", "PDF with a script"),
    "pdf-launch": ("PDF qui lance un programme", "PDF that starts a program"),
    "not-cda": ("le fichier n'est pas un document CDA", "the file is no CDA document"),
    "zip-damaged": ("archive endommagée", "the archive is damaged"),
    "zip-64": ("archive ZIP64", "ZIP64 archive"),
    "zip-parts": ("archive en plusieurs volumes", "archive in several volumes"),
    "zip-encrypted": ("archive chiffrée", "encrypted archive"),
    "zip-method": ("méthode de compression inconnue", "unknown compression method"),
    "zip-link": ("lien dans l'archive", "a link in the archive"),
    "zip-name": ("nom de fichier interdit dans l'archive", "forbidden file name in the archive"),
    "zip-path": ("chemin hors de l'archive", "a path leads out of the archive"),
    "zip-depth": ("dossiers trop profonds dans l'archive", "folders too deep in the archive"),
    "zip-overlap": ("fichiers superposés dans l'archive", "overlapping files in the archive"),
    "zip-duplicate": ("deux fichiers du même nom dans l'archive", "two files of one name"),
    "zip-too-many": ("trop de fichiers dans l'archive", "too many files in the archive"),
    "zip-too-large": ("archive trop volumineuse décompressée", "the archive inflates too large"),
    "zip-ratio": ("taux de compression anormal", "abnormal compression ratio"),
    "no-metadata": ("METADATA.XML absent", "no METADATA.XML"),
    "several-roots": ("plusieurs dossiers IHE_XDM", "more than one folder IHE_XDM"),
    "metadata-too-large": ("METADATA.XML trop volumineux", "METADATA.XML is too large"),
    "metadata-unreadable": ("METADATA.XML illisible", "METADATA.XML cannot be read"),
    "uri-missing": ("fichier du document non indiqué", "the document's file is not named"),
    "uri-outside": ("fichier hors du dossier du lot", "a file outside the subset's folder"),
    "uri-unknown": ("fichier absent de l'archive", "a file is missing in the archive"),
    "uri-repeated": ("deux fiches pour un fichier", "two entries for one file"),
    "hash-malformed": ("empreinte mal formée", "malformed hash"),
    "hash-sha256": ("empreinte SHA-256 au lieu de SHA-1", "SHA-256 hash instead of SHA-1"),
    "hash-differs": ("empreinte différente", "the hash differs"),
    "size-differs": ("taille différente", "the size differs"),
    "submission-sets": ("plusieurs lots dans un dossier", "several submission sets in a folder"),
    "documents-missing": ("aucune fiche de document", "no document entry"),
    "patient-differs": (
        "patient différent dans METADATA.XML",
        "METADATA.XML names another patient",
    ),
    "patients-mixed": ("plusieurs patients", "more than one patient"),
}
"""Words that make a cause precise: (French, English). They name a trait, never its value."""
