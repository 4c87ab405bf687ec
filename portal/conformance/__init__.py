"""The contract's cases, run against any ledger over HTTP: ``portal conformance`` (docs/contract.md)."""
