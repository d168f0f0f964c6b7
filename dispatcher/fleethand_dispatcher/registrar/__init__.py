"""The registration service: the one door through which a host enrols itself.

It has the vault's key and the box key, and no key to sign with: whoever takes it over can enrol hosts of his own and
learn their keys, and cannot run a command.
"""
