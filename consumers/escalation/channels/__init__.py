"""Ways out to people: webhook, mail, text message, HL7 v2. Each takes one message or says why not."""
