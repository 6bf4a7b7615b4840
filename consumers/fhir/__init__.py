"""One result → FHIR R4: a report with its observations, the model, the study, who said it, and the task.

The report is preliminary until radiologists have judged what is in it, and nothing sets it back after that. Every
resource is found again by an identifier (or tag) that follows from the task and the finding, so sending a result
twice leaves what sending it once left.
"""
