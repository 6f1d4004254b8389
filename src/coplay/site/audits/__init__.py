"""Audits at a site: what an attacker with samples alone learns of the rows that were learned."""
