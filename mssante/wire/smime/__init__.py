"""S/MIME 4.0 (RFC 8551): CMS structures, signatures, decryption; bytes in, bytes or an error out."""
