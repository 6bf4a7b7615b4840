"""FHIR R4 facade: a small durable store of the resources that AI results are made of, and its REST routes.

It is the FHIR server of an installation that has no other one. Transactions are all or nothing and run one at a
time; every version of every resource is kept.
"""
