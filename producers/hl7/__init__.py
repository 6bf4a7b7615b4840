"""HL7 v2 on the wire: MLLP framing, text with its delimiters and character set, a blocking client with TLS.

Used by those who send (``consumers/oru``) and those who listen. Framing and text are pure; only ``client`` has a
socket.
"""
