"""The Python host of paster: one WSGI application, built from a resolved tree, on one inherited listener.

Standard library only. What a worker is given and what it owes is in docs/worker-contract.md.
"""

__version__ = "0.1.0"
