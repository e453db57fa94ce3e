"""Encrypting for tests: the forms that other software sends, written apart from our reader."""

import os
import zlib

from asn1crypto import algos, cms, core, keys, x509 as asn1_x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_KDF = {
    "sha1": ("1.3.133.16.840.63.0.2", hashes.SHA1()),
    "sha256": ("1.3.132.1.11.1", hashes.SHA256()),
}


def identity(party):
    own = asn1_x509.Certificate.load(party.certificate.public_bytes(Encoding.DER))
    return cms.IssuerAndSerialNumber({"issuer": own.issuer, "serial_number": own.serial_number})


def by_rsa(party, content_key):
    encrypted = party.certificate.public_key().encrypt(content_key, padding.PKCS1v15())
    return _transport(party, {"algorithm": "rsaes_pkcs1v15", "parameters": core.Null()}, encrypted)


def by_oaep(party, content_key, own=hashes.SHA256(), mask=hashes.SHA256()):
    pad = padding.OAEP(padding.MGF1(mask), own, None)
    encrypted = party.certificate.public_key().encrypt(content_key, pad)
    parameters = algos.RSAESOAEPParams(
        {
            "hash_algorithm": {"algorithm": own.name},
            "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": {"algorithm": mask.name}},
        }
    )
    return _transport(party, {"algorithm": "rsaes_oaep", "parameters": parameters}, encrypted)


def _transport(party, algorithm, encrypted):
    return cms.RecipientInfo(
        name="ktri",
        value=cms.KeyTransRecipientInfo(
            {
                "version": "v0",
                "rid": cms.RecipientIdentifier({"issuer_and_serial_number": identity(party)}),
                "key_encryption_algorithm": algorithm,
                "encrypted_key": encrypted,
            }
        ),
    )


def by_ecdh(party, content_key, kdf="sha256", ukm=None, with_curve=True):
    public = party.certificate.public_key()
    ephemeral = ec.generate_private_key(public.curve)
    oid, digest = _KDF[kdf]
    wrap = cms.KeyEncryptionAlgorithm({"algorithm": "aes128_wrap"})
    contents = wrap.dump()
    if ukm is not None:
        contents += core.OctetString(ukm, explicit=0).dump()
    contents += core.OctetString((128).to_bytes(4, "big"), explicit=2).dump()
    shared = core.Sequence(contents=contents).dump()
    kek = X963KDF(digest, 16, shared).derive(ephemeral.exchange(ec.ECDH(), public))
    encoded = ephemeral.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if not with_curve:
        # As OpenSSL writes it: the recipient's key tells the curve.
        whole = core.Sequence.load(encoded)
        algorithm = core.Sequence(contents=whole[0][0].dump()).dump()
        encoded = core.Sequence(contents=algorithm + whole[1].dump()).dump()
    fields = {
        "version": "v3",
        "originator": cms.OriginatorIdentifierOrKey(
            name="originator_key",
            value=keys.PublicKeyInfo.load(encoded),
        ),
        "key_encryption_algorithm": {"algorithm": oid, "parameters": wrap},
        "recipient_encrypted_keys": [
            {
                "rid": cms.KeyAgreementRecipientIdentifier(
                    {"issuer_and_serial_number": identity(party)}
                ),
                "encrypted_key": aes_key_wrap(kek, content_key),
            }
        ],
    }
    if ukm is not None:
        fields["ukm"] = ukm
    return cms.RecipientInfo(name="kari", value=cms.KeyAgreeRecipientInfo(fields))


def enveloped_cbc(content, recipients, size=32, cipher=None):
    """`recipients`: functions of the content key."""
    key, vector = os.urandom(size), os.urandom(16)
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    octets = encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()
    return cms.ContentInfo(
        {
            "content_type": "enveloped_data",
            "content": cms.EnvelopedData(
                {
                    "version": "v0",
                    "recipient_infos": [recipient(key) for recipient in recipients],
                    "encrypted_content_info": {
                        "content_type": "data",
                        "content_encryption_algorithm": {
                            "algorithm": cipher or f"aes{size * 8}_cbc",
                            "parameters": core.OctetString(vector),
                        },
                        "encrypted_content": octets,
                    },
                }
            ),
        }
    ).dump()


class GcmParameters(core.Sequence):
    _fields = [("nonce", core.OctetString), ("size", core.Integer, {"default": 12})]


def enveloped_gcm(content, recipients, size=32, cipher=None, attributes=None):
    key, nonce = os.urandom(size), os.urandom(12)
    additional = None
    if attributes is not None:
        additional = attributes.dump()
    sealed = AESGCM(key).encrypt(nonce, content, additional)
    parameters = GcmParameters({"nonce": nonce, "size": 16})
    fields = {
        "version": "v0",
        "recipient_infos": [recipient(key) for recipient in recipients],
        "auth_encrypted_content_info": {
            "content_type": "data",
            "content_encryption_algorithm": {
                "algorithm": cipher or f"aes{size * 8}_gcm",
                "parameters": parameters,
            },
            "encrypted_content": sealed[:-16],
        },
        "mac": sealed[-16:],
    }
    if attributes is not None:
        fields["auth_attrs"] = attributes
    return cms.ContentInfo(
        {
            "content_type": "authenticated_enveloped_data",
            "content": cms.AuthEnvelopedData(fields),
        }
    ).dump()


def compressed(content, algorithm="1.2.840.113549.1.9.16.3.8"):
    return cms.ContentInfo(
        {
            "content_type": "compressed_data",
            "content": cms.CompressedData(
                {
                    "version": "v0",
                    "compression_algorithm": {"algorithm": algorithm},
                    "encap_content_info": {
                        "content_type": "data",
                        "content": zlib.compress(content, 9),
                    },
                }
            ),
        }
    ).dump()
