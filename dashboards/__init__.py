"""Where people look and steer: REST and FHIR API, web pages, operator's terminal, the stack on one machine.

Top of the layers: nothing imports this package.
"""
