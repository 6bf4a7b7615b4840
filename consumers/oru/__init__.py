"""Results → ORU^R01 messages of HL7 2.5.1 for a RIS or EHR, over MLLP."""
