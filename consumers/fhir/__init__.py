"""One result → one FHIR R4 transaction: a preliminary DiagnosticReport, its Observations, the model and the study.

Every resource is found again by an identifier that is derived from the task and the finding, so sending a result
twice leaves what sending it once left.
"""
