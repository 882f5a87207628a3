"""The capsule: namespaces of its own in which a run lives, and with which all of it ends.

`outside` starts one and reads its events; `inside` is its first process. Neither knows what
is run in it.
"""
