"""DICOM network service: TCP → associations → messages → services (PS3.7, PS3.8).

An upper layer of its own on asyncio, because receiving images is the hot path: data set bytes go from the socket
into the spool without being decoded, and a thousand held associations cost a thousand small objects, not threads.
Associations are negotiated over pynetdicom's PDU classes.
"""
