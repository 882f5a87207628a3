"""Cases against collectors: `run` plans, `session` feeds one with one, `evidence` explains.

Which collector gives which rows is the back ends' affair, what is right the comparison's
(`collector.conform`).
"""
