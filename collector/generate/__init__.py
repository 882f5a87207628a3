"""Export datagrams without a network: from a profile of an exporter, with the truth about them.

`profile` says what can be set, `flows` draws the flows, `exporting` makes datagrams of them with
the encoders, `truth` sums what was told. Pure, and the same for the same seed.
"""
