"""Clinical documents: HL7 CDA Release 2 with the French header (CI-SIS "structuration minimale")."""
