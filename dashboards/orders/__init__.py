"""Somebody asks for an inference, or for something to be done with one: the same rules for REST, FHIR and UPS-RS.

``desk`` takes orders and commands, ``order`` is what is asked for, ``making`` makes the task, ``checks`` refuse
what cannot be done, ``once`` writes a task at most once across all processes of the API.
"""
