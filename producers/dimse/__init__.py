"""DICOM network service: TCP → associations → messages → services (PS3.7, PS3.8).

An upper layer of its own on asyncio, because receiving images is the hot path: data set bytes go from the socket
into the spool without being decoded, and a thousand held associations cost a thousand small objects, not threads.
Associations are negotiated over pynetdicom's PDU classes; those that we open are pynetdicom's own, in threads.

The files, in the order in which a request meets them::

    sockets        server, tls_listener (tls), silent          connections, few of them silent
    bytes          pdu, items, acse, user_information,          PDUs, association requests,
                   message, command                             whole messages and their command sets
    who may        peer_book (peers), admission, rights,        peers file, refusals and their alerts
                   refused, negotiation
    association    association (watch, limits, spools),         state machine of PS3.8 9.2
                   conversation (outlet, exchange)              requests of both sides
    what can be    service: the protocol of all services; entity: which ones there are
    services       verification, storage
                   find (find_query), get, move                 with model, identifier, extended, retrieve_request,
                                                                suboperations, transfer_form
                   workflow: commitment_service, procedure_step_service, availability, worklist (worklist_query)
                                                                with data_sets, promises
    we call        requestor, outbound (connection, proposals,  C-MOVE's and the poller's associations,
                   refusal, acknowledgement, blocking),         reports of storage commitment
                   transfer, commitment_call, commitment_reports
"""
