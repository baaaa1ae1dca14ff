"""DomainKeys Identified Mail on octets (RFC 6376, 8301, 8463): tags, canonical forms, keys, verification."""
